"""Lanes that walk along clips, and the contexts they begin and go on with."""

from itertools import islice

import pytest
import torch

from twnet_ros.learn.data.image import normalise
from twnet_ros.learn.training.rollout import Lanes, Rollout, restart

ROLLOUT = Rollout(frames=2, shortest=4, longest=7)
FIELDS = ("first", "key", "image", "motion", "residual", "labels", "clean")


@pytest.fixture
def lanes(source, network):
    """Take stretches of two lanes."""
    model = network()

    def make(count, seed=(0, 0), rollout=ROLLOUT):
        return list(islice(Lanes(source, model, rollout, 2, seed), count))

    return make


def test_stretches_have_their_shapes(lanes):
    (stretch,) = lanes(1)
    assert stretch.first.tolist() == [True, True]
    assert stretch.key.shape == (2, 3, 64, 96)
    assert stretch.image.shape == (2, 2, 3, 64, 96)
    assert stretch.motion.shape == (2, 2, 2, 4, 6)
    assert stretch.residual.shape == (2, 2, 3, 4, 6)
    assert stretch.labels.shape == (2, 64, 96)
    assert stretch.clean.shape == (2, 3, 64, 96)
    assert stretch.labels.dtype == torch.uint8
    assert set(stretch.labels.unique().tolist()) <= {0, 1, 2, 255}


def test_clips_are_walked_along_at_the_size_that_the_network_runs_at(source, network):
    """At half the clips' size, which leaves 48 x 32 of the 64 x 32 pixels that it takes."""
    walk = Lanes(source, network(input_size=(48, 32)), ROLLOUT, 1, (0, 0))
    small, whole = (next(iter(w)) for w in (walk, Lanes(source, network(), ROLLOUT, 1, (0, 0))))
    assert small.key.shape == small.clean.shape == (1, 3, 32, 64)
    assert small.motion.shape == (1, 2, 2, 2, 4)
    # Each label is that of the pixel behind its centre; padding has none.
    assert torch.equal(small.labels[..., :48], whole.labels[..., 1::2, 1::2])
    assert (small.labels[..., 48:] == 255).all()


def test_the_seed_alone_decides(lanes):
    one, two, other = lanes(4), lanes(4), lanes(4, seed=(0, 1))
    for a, b in zip(one, two, strict=True):
        assert all(torch.equal(getattr(a, f), getattr(b, f)) for f in FIELDS)
    assert not torch.equal(one[0].image, other[0].image)
    assert not torch.equal(one[0].image[0], one[0].image[1])  # lanes have clips of their own


def test_a_walk_begins_with_its_first_stretch_and_then_goes_on(lanes):
    found = lanes(12)
    for lane in range(2):
        first = [bool(s.first[lane]) for s in found]
        assert first[0]
        starts = [i for i, f in enumerate(first) if f]
        lengths = [b - a for a, b in zip(starts, starts[1:], strict=False)]
        assert lengths and all(2 <= n <= 3 for n in lengths)  # 4 to 7 frames, 2 a stretch
    assert [len(s.key) for s in found] == [int(s.first.sum()) for s in found]
    keys = torch.cat([s.key for s in found])
    assert len(keys.unique(dim=0)) == len(keys)  # each clip begins with a picture of its own


def test_frames_follow_each_other(panning, network):
    """In a panning clip vectors explain most of what changes, across stretches too."""
    walk = Lanes(panning(), network(), Rollout(2, 6, 6), 1, (0, 0))
    found = list(islice(walk, 3))
    moves = 16 * torch.cat([s.motion[0] for s in found])  # to pixels
    assert moves[:, 0].median() == 2  # what the camera sees moves left, so it comes from the right
    assert moves[:, 1].median() == 0
    assert 0 < max(stretch.residual.mean() for stretch in found) < 12


def test_the_last_frame_is_there_without_compression_too(panning, network):
    model, source = network(), panning()
    shown, draw = [], source.clip

    def clip(rng, frames):
        for rgb, labels in draw(rng, frames):
            shown.append(rgb)
            yield rgb, labels

    source.clip = clip
    for number, stretch in enumerate(islice(Lanes(source, model, Rollout(2, 6, 6), 1, (0, 0)), 3)):
        rgb = torch.from_numpy(shown[2 * number + 2])[None]  # the first is the key frame
        assert torch.equal(stretch.clean[0], normalise(rgb, model.config)[0])
        lost = (stretch.clean[0] - stretch.image[0, -1]).abs().mean()
        assert 0 < lost < 0.5


@torch.no_grad()
def test_lanes_start_anew_where_a_clip_begins(lanes, network):
    model = network()
    stretch = lanes(1)[0]
    expected = model.key(stretch.key)[1].context
    assert torch.allclose(restart(model, stretch, torch.empty(0), "cpu"), expected, atol=1e-4)
    carried = torch.randn_like(expected)
    stretch.first, stretch.key = torch.tensor([False, False]), stretch.key[1:]
    assert restart(model, stretch, carried, "cpu") is carried
    stretch.first = torch.tensor([False, True])
    mixed = restart(model, stretch, carried, "cpu")
    assert torch.equal(mixed[0], carried[0])
    assert torch.allclose(mixed[1], expected[1], atol=1e-4)
