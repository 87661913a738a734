"""Interpolation between two key frames: exact where it can be, blended by distance, and late."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from twnet_ros.codec import BlockMotion, CodedFrame, FrameKind
from twnet_ros.learn.evaluation.interpolation import Interpolator, invert
from twnet_ros.learn.evaluation.method import engine
from twnet_ros.net import Config, FeatureState, warp
from twnet_ros.net.backbone import Backbone, HeadFeatures, Tail
from twnet_ros.segment import Path, SegmentError

WIDTH, HEIGHT = 160, 128


class Whole(nn.Module):
    def forward(self, image):
        return HeadFeatures(image, ())


class Mean(nn.Module):
    def forward(self, head):
        return F.avg_pool2d(head.deep, 4)


class Nearest(nn.Module):
    """A network that sees a pixel at 1/4 alone: the grey level that is nearest is its class."""

    def __init__(self, levels):
        super().__init__()
        names = tuple(f"level {level}" for level in levels)
        colors = ((0, 0, 0),) * len(levels)
        self.config = Config(
            "mobilenetv1", 3, names, colors, (WIDTH, HEIGHT), (0.0,) * 3, (1.0,) * 3, "none"
        )
        classify = nn.Conv2d(3, len(levels), 1)
        with torch.no_grad():  # the square of the distance, without what all have in common
            classify.weight[:] = 2 / 3 * torch.tensor(levels)[:, None, None, None]
            classify.bias[:] = -torch.tensor(levels).square()
        self.keyframe = Backbone(Whole(), Mean(), Tail([], classify), channels=3, stride=4)

    def key(self, image):
        context = self.keyframe.context(self.keyframe.head(image))
        return self.keyframe.tail.classifier(context), FeatureState(context, 0)


def coded(index, y, vector=None):
    """A grey frame in full range; one with a vector is a P-frame that moves so everywhere."""
    chroma = np.full((y.shape[0] // 2, y.shape[1] // 2), 128, np.uint8)
    motion = None
    if vector is not None:
        grid = (y.shape[0] // 8, y.shape[1] // 8)
        displacement = np.broadcast_to(np.array(vector, np.float32), (*grid, 2)).copy()
        motion = BlockMotion(displacement, np.full(grid, -1, np.int8))
    kind = FrameKind.I if motion is None else FrameKind.P
    planes = (y, chroma, chroma, "bt601", True)
    return CodedFrame(index, index, kind, *planes, motion, "", True, 0.0)


def flat(index, level, vector=None):
    return coded(index, np.full((HEIGHT, WIDTH), level, np.uint8), vector)


def panned(steps, gop):
    """A camera that moves over blocks of 4 px, to each frame by a (dx, dy) of its own."""
    world = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    world = world.repeat(4, 0).repeat(4, 1)
    x, y = 300, 300
    for index, (dx, dy) in enumerate(steps):
        x, y = x + dx, y + dy
        picture = world[y : y + HEIGHT, x : x + WIDTH].copy()
        yield coded(index, picture, (dx, dy) if index % gop else None)


LEVELS = (20.0, 60.0, 100.0, 140.0, 180.0, 220.0)


@pytest.fixture
def interpolator():
    def make(levels=LEVELS):
        return Interpolator(Nearest(levels), "cpu", "fp32", motion="codec")

    return make


@pytest.mark.parametrize(
    "steps",
    [
        9 * [(4, 0)],
        9 * [(-4, 8)],
        9 * [(0, -4)],
        [(0, 0), *2 * [(0, 4), (8, -4), (-4, 0), (-4, 0)]],
    ],
)
def test_whole_pixels_are_copied_exactly_from_both_sides(interpolator, steps):
    """Key frames are 0, 4 and 8; to them the camera moves on as to the frame before."""
    frames = list(panned(steps, 4))
    per_frame = engine(Nearest(LEVELS), "per_frame", "cpu", "fp32")
    expected = [per_frame.step(frame)[0].labels for frame in frames]
    between = interpolator()
    results = [result for frame in frames for result in between.step(frame)]
    assert [r.index for r in results] == list(range(9))
    for result, labels in zip(results, expected, strict=True):
        away = np.s_[32:-32, 32:-32]  # 3 frames of up to 8 px, and the interpolation of logits
        np.testing.assert_array_equal(result.labels[away], labels[away])
        assert len(np.unique(labels[away])) == len(LEVELS)


def test_both_sides_are_blended_by_distance(interpolator):
    between = interpolator((40.0, 60.0, 80.0, 100.0, 120.0))
    frames = [flat(0, 40), *(flat(n, 40, (0, 0)) for n in (1, 2, 3)), flat(4, 120)]
    results = [result for frame in frames for result in between.step(frame)]
    assert [np.unique(r.labels).tolist() for r in results] == [[0], [1], [2], [3], [4]]


def test_frames_wait_for_the_second_key_frame_and_come_in_order(interpolator):
    between = interpolator()
    steps = [between.step(frame) for frame in panned(11 * [(4, 0)], 4)]
    assert [[r.index for r in step] for step in steps] == [
        *([0], [], [], [], [1, 2, 3, 4]),
        *([], [], [], [5, 6, 7, 8], [], []),
    ]
    results = [r for step in steps for r in step]
    assert [r.path for r in results] == 2 * [Path.KEY, *3 * [Path.NONKEY]] + [Path.KEY]
    assert [r.distance for r in results] == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert [r.pts for r in results] == list(range(9))
    for result in results:
        times = dict(result.times_ms)
        assert times.pop("total") == pytest.approx(sum(times.values()))


def test_without_a_second_key_frame_the_first_is_propagated(interpolator):
    frames = list(panned(7 * [(4, 0)], 4))
    between, forward = interpolator(), engine(Nearest(LEVELS), "prop_mv", "cpu", "fp32")
    for frame in frames:
        between.step(frame)
    left = between.flush()
    expected = [forward.step(frame)[0] for frame in frames]
    assert [r.index for r in left] == [5, 6]
    for result, other in zip(left, expected[5:], strict=True):
        np.testing.assert_array_equal(result.labels, other.labels)
    assert between.flush() == []


def test_a_break_in_the_stream_is_not_bridged(interpolator):
    between = interpolator((40.0, 80.0, 120.0))
    for n in range(3):
        between.step(flat(n, 40, (0, 0) if n else None))
    results = between.step(flat(7, 120))
    assert [(r.index, r.labels[0, 0]) for r in results] == [(1, 0), (2, 0), (7, 2)]
    between.step(flat(8, 120, (0, 0)))
    broken = replace(flat(9, 120, (0, 0)), fault="a packet is lost")
    assert [r.index for r in between.step(broken)] == [8]
    assert [r.index for r in between.step(flat(10, 40))] == [10]
    between.step(flat(11, 40, (0, 0)))
    small = coded(12, np.full((64, 96), 120, np.uint8))
    assert [(r.index, r.labels[0, 0]) for r in between.step(small)] == [(11, 0), (12, 2)]
    between.step(flat(13, 40))
    between.step(flat(14, 40, (0, 0)))
    later = replace(flat(15, 120, (0, 0)), follows=False)
    assert [(r.index, r.labels[0, 0]) for r in between.step(later)] == [(14, 0), (15, 2)]


def test_a_reset_forgets_the_frames_that_wait(interpolator):
    between = interpolator()
    between.step(flat(0, 40))
    between.step(flat(1, 40, (0, 0)))
    assert between.state.distance == 1
    between.reset()
    assert between.flush() == [] and between.state is None


def test_what_it_cannot_do_is_refused(interpolator):
    frame = replace(flat(1, 40, (0, 0)), kind=FrameKind.B)
    with pytest.raises(SegmentError, match="interp_mv: expected no B-frames, got frame 1"):
        interpolator().step(frame)
    with pytest.raises(SegmentError, match="expected no frame to be skipped, got frame 0"):
        interpolator().skip(flat(0, 40))


def test_uniform_motion_is_inverted_exactly():
    motion = torch.tensor([2.5, -3.0])[None, :, None, None].expand(1, 2, 8, 10)
    assert torch.equal(invert(motion), -motion)


def test_where_motions_part_and_meet_one_of_them_is_taken():
    """A square moves by (3, -2) before a still background."""
    motion = torch.zeros(1, 2, 24, 24)
    motion[:, :, 8:16, 10:18] = torch.tensor([-3.0, 2.0])[:, None, None]  # its later place
    back = invert(motion)[0]
    moves = (back == torch.tensor([3.0, -2.0])[:, None, None]).all(0)
    assert torch.equal(moves, back.any(0))
    assert moves[10:16, 10:15].all()  # of its earlier place, what it covers still
    moves[8:18, 7:18] = False  # either place
    assert not moves.any()


def test_the_way_there_and_back_ends_where_it_began():
    """A smooth motion: a picture warped along it and back is itself, away from the border."""
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    motion = torch.stack([2 + (rows / 9).sin(), -1 + (columns / 7).cos()])[None]
    place = torch.stack([columns, rows])[None]
    there_and_back = warp(warp(place, motion), invert(motion))
    error = (there_and_back - place)[..., 6:-6, 6:-6].abs()
    assert error.max() < 0.02
