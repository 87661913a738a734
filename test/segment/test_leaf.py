"""B-frames: what they take from the anchors on both sides, and the order they come out in."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from twnet_ros.codec import BlockMotion, FrameKind
from twnet_ros.net import to_grid, warp_cubic
from twnet_ros.segment import CODEC_KEYS, Network, Path, Segmenter
from twnet_ros.segment.leaf import two_sided_context
from twnet_ros.segment.replay import replay
from twnet_ros.segment.segmenter import MOST_HELD

STRIDE = 16
CORRECTIONS = pytest.mark.parametrize("correction", ["rga", "fusion"])


def run(segmenter, frames):
    return [result for frame in frames for result in segmenter.step(frame)]


@pytest.fixture
def engine_with(network):
    """Make an engine of a tiny network with a correction."""
    return lambda correction: Segmenter(
        Network(network(correction=correction), "cpu", "fp32"), policy=CODEC_KEYS
    )


@pytest.fixture
def anchors():
    torch.manual_seed(0)
    contexts = torch.randn(2, 1, 8, 4, 6)
    motion = torch.randint(-120, 121, (1, 2, 8, 12)) / 4
    motion = motion.repeat_interleave(8, 2).repeat_interleave(8, 3)
    return contexts, motion


@pytest.mark.parametrize("ahead", [0, 1])
def test_motion_to_one_side_is_ordinary_motion_from_that_anchor(anchors, ahead):
    (past, future), motion = anchors
    chosen = torch.full((1, 1, *motion.shape[2:]), float(ahead))
    expected = warp_cubic(future if ahead else past, to_grid(motion, STRIDE))
    context = two_sided_context(past, future, motion, chosen, STRIDE)
    torch.testing.assert_close(context, expected)


def test_motion_to_the_other_side_does_not_bend_a_pixel_s_path(anchors):
    """Within one feature pixel a quarter points ahead: neither mean may see the other's motion."""
    (past, future), motion = anchors
    size = motion.shape[2:]
    ahead = torch.zeros(1, 1, *size)
    ahead[..., 8:16, 8:16] = 1  # one block of the first feature pixel
    steps = torch.tensor([STRIDE, 0.0]), torch.tensor([0.0, 2 * STRIDE])
    there, back = (step[None, :, None, None].expand(1, 2, *size) for step in steps)
    motion = torch.where(ahead > 0, there, back)
    context = two_sided_context(past, future, motion, ahead, STRIDE)
    expected = 0.25 * future[..., 0, 1] + 0.75 * past[..., 2, 0]
    torch.testing.assert_close(context[..., 0, 0], expected)
    torch.testing.assert_close(context[..., 1, 3], past[..., 3, 3])


def test_the_context_keeps_its_type(anchors):
    (past, future), motion = anchors
    ahead = (motion[:, :1] > 0).float()
    context = two_sided_context(past.bfloat16(), future.bfloat16(), motion, ahead, STRIDE)
    assert context.dtype == torch.bfloat16


def test_b_frames_are_leaves_in_display_order(engine, coded_with_b, pan):
    frames = coded_with_b(pan(10))
    assert [f.kind.value for f in frames] == list("IBBPBBPBBP")
    segmenter = engine()
    steps = [segmenter.step(frame) for frame in frames]
    assert [len(step) for step in steps] == [1, 0, 0, 3, 0, 0, 3, 0, 0, 3]
    assert segmenter.flush() == []
    results = [result for step in steps for result in step]
    assert [r.index for r in results] == list(range(10))
    assert [r.kind for r in results] == [f.kind for f in frames]
    assert [r.distance for r in results] == list(range(10))
    assert [r.path for r in results] == [Path.KEY] + [Path.NONKEY] * 9
    # Without the B-frames, the others have the same labels: nothing is predicted from a leaf.
    anchors = [f for f in frames if f.kind is not FrameKind.B]
    alone = run(engine(), [replace(f, index=i) for i, f in enumerate(anchors)])
    for one, other in zip((r for r in results if r.kind is not FrameKind.B), alone, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)


@CORRECTIONS
@torch.inference_mode()
def test_a_b_frame_that_looks_back_only_is_a_nonkey_step(engine_with, coded, pan, correction):
    frames = coded(pan(3, dx=3), gop=12)
    leaf = replace(frames[1], kind=FrameKind.B)
    expected = run(engine_with(correction), frames[:2])[1]
    results = run(engine_with(correction), [frames[0], leaf, frames[2]])
    assert [r.index for r in results] == [0, 1, 2]
    assert results[1].path is Path.NONKEY
    assert (results[1].labels == expected.labels).mean() > 0.995


@CORRECTIONS
@torch.inference_mode()
def test_a_b_frame_that_looks_ahead_only_starts_from_the_next_anchor(
    engine_with, coded, pan, correction
):
    """Seen from behind: a leaf that points at frame 2 is frame 2's successor, played backwards."""
    frames = coded(pan(3, dx=0), gop=1)
    still = BlockMotion(np.zeros((8, 12, 2), np.float32), np.ones((8, 12), np.int8))
    leaf = replace(frames[1], kind=FrameKind.B, motion=still)
    (_, found, _) = run(engine_with(correction), [frames[0], leaf, frames[2]])
    after = replace(frames[1], kind=FrameKind.P, motion=still, index=3)
    (_, expected) = run(engine_with(correction), [frames[2], after])
    np.testing.assert_array_equal(found.labels, expected.labels)


@CORRECTIONS
@torch.inference_mode()
def test_a_b_frame_behind_a_skipped_frame_goes_on_from_the_last_one_labelled(
    engine_with, coded, pan, correction
):
    """Its 8 px to the skipped frame and that one's 8 px are 16 px."""
    frames = coded(pan(4, dx=8), gop=12)

    def moved(frame, index, px, kind=FrameKind.P):
        displacement = np.zeros((8, 12, 2), np.float32)
        displacement[..., 0] = px
        motion = BlockMotion(displacement, np.full((8, 12), -1, np.int8))
        return replace(frame, index=index, kind=kind, motion=motion)

    segmenter = engine_with(correction)
    segmenter.step(frames[0])
    segmenter.skip(moved(frames[1], 1, 8))
    leaf, last = run(segmenter, [moved(frames[2], 2, 8, FrameKind.B), moved(frames[3], 3, 16)])
    expected = run(
        engine_with(correction),
        [frames[0], moved(frames[2], 1, 16, FrameKind.B), moved(frames[3], 2, 24)],
    )
    np.testing.assert_array_equal(leaf.labels, expected[1].labels)
    np.testing.assert_array_equal(last.labels, expected[2].labels)


def test_no_more_b_frames_wait_than_encoders_make(engine, coded, pan):
    """One after the other without an end they are labelled, too, and memory stays what it is."""
    first, frame = coded(pan(2), gop=12)
    segmenter = engine()
    results = segmenter.step(first)
    for index in range(1, 42):
        results += segmenter.step(replace(frame, kind=FrameKind.B, index=index))
        assert index - results[-1].index <= MOST_HELD
    assert [r.index for r in results] == list(range(33))
    assert len(segmenter.flush()) == 41 - 32


def test_b_frames_that_wait_when_the_stream_breaks_take_the_key_step(engine, coded_with_b, pan):
    frames = coded_with_b(pan(10))
    segmenter = engine()
    run(segmenter, frames[:6])
    broken = replace(frames[6], fault="waiting for a key frame")
    left = segmenter.step(broken)
    assert [(r.index, r.path) for r in left] == [(4, Path.KEY), (5, Path.KEY)]
    assert segmenter.waiting == "waiting for a key frame"
    assert segmenter.state is None
    fresh = engine(per_frame=True)
    for result in left:
        (expected,) = fresh.step(frames[result.index])
        np.testing.assert_array_equal(result.labels, expected.labels)


def agreement(path, count):
    """Labels of the first frames that the two-step network and its per-frame path share, in %."""
    engines = [
        Segmenter.load(
            "camvid-mobilenetv1-layer1", "cpu", "fp32", (512, 256), per_frame, CODEC_KEYS
        )
        for per_frame in (False, True)
    ]
    pairs = zip(*(islice(replay(path, engine), count) for engine in engines), strict=True)
    results = [(one[1], other[1]) for one, other in pairs]
    assert [one.index for one, _ in results] == list(range(count))
    steps = [one.path for one, _ in results]
    assert steps == [Path.KEY] + [Path.NONKEY] * (count - 1)
    return 100 * np.mean([(one.labels == other.labels).mean() for one, other in results])


def test_b_frames_of_a_real_street_are_labelled_as_well_as_p_frames(drive):
    """The same frames of both clips, up to the first's next key frame."""
    plain = agreement(drive("street_2048x1024_h264_gop12.mp4"), 12)
    with_b = agreement(drive("street_2048x1024_h264_bframes.mp4"), 12)
    assert with_b >= plain - 2
