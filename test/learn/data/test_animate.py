"""Clips from stills: what moves, moves in the labels too."""

from itertools import islice

import cv2
import numpy as np
import pytest

from twnet_ros.learn.data.animate import Wander, animate
from twnet_ros.learn.data.folder import read_split


@pytest.fixture
def clip(still_folder):
    """Animate noise-free stills of 192x128."""
    stills, _ = read_split(still_folder(3, size=(192, 128), noise=0), 3, [], "train")

    def make(seed, count=8, movers=(0,), size=(160, 96)):
        frames = animate(stills, movers, size, np.random.default_rng(seed))
        return list(islice(frames, count))

    return make


def settled(labels):
    """Pixels whose neighbourhood has one label: away from edges, where colours mix."""
    same = np.ones(labels.shape, bool)
    for dy in (-2, 0, 2):
        for dx in (-2, 0, 2):
            same &= np.roll(labels, (dy, dx), (0, 1)) == labels
    same[:2], same[-2:], same[:, :2], same[:, -2:] = False, False, False, False
    return same


def test_frames_have_the_size_that_was_asked_for(clip):
    for rgb, labels in clip(0, size=(120, 72)):
        assert rgb.shape == (72, 120, 3) and rgb.dtype == np.uint8
        assert labels.shape == (72, 120) and labels.dtype == np.uint8
        assert set(np.unique(labels)) <= {0, 1, 2, 255}


@pytest.mark.parametrize("seed", range(6))
def test_labels_move_with_the_picture(clip, seed):
    """Every class has one colour in these stills (no movers are large enough to be cut)."""
    for rgb, labels in clip(seed, movers=(9,)):
        calm = settled(labels)
        middles = []
        for c in (0, 2, 1):  # from dark to bright
            pixels = rgb[calm & (labels == c)].astype(float)
            if len(pixels) > 50:
                assert pixels.std(0).max() < 3
                middles.append(pixels.mean())
        assert middles == sorted(middles)


def test_the_camera_moves_smoothly(clip):
    moved = 0
    for seed in range(4):
        frames = clip(seed, count=12, movers=(9,))
        for (_, before), (_, after) in zip(frames, frames[1:], strict=False):
            changed = np.mean(before != after)
            assert changed < 0.35
            moved += changed > 0
    assert moved > 30


def test_objects_pass_with_their_labels(clip):
    """Cars are cut out and pasted: whatever is not labelled car still has its class's colour."""
    more = 0
    for seed in range(12):
        without = clip(seed, count=1, movers=(9,))[0][1]
        for rgb, labels in clip(seed, count=4, movers=(2,)):
            more += (labels == 2).sum() > (without == 2).sum() + 50
            calm = settled(labels)
            for c in (0, 1):
                pixels = rgb[calm & (labels == c)].astype(float)
                if len(pixels) > 50:
                    assert pixels.std(0).max() < 3
    assert more > 4


def test_objects_are_as_large_beside_the_scene_whatever_size_stills_have(still_folder):
    """Stills twice as large, of the same things: the same clip, but for how they are sampled."""
    root, clips = still_folder(3, size=(192, 128), noise=0), []
    for factor in (1, 2):
        for path in root.glob("*/*.png"):
            picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert cv2.imwrite(str(path), picture.repeat(factor, 0).repeat(factor, 1))
        stills, _ = read_split(root, 3, [], "train")
        made = (animate(stills, (2,), (160, 96), np.random.default_rng(n)) for n in range(12))
        clips.append([next(frames)[1] for frames in made])
    for one, two in zip(*clips, strict=True):
        assert (one != two).mean() < 0.018


def test_large_stills_are_not_aliased(still_folder):
    """Stripes of one pixel, which are grey at a quarter of their size."""
    root = still_folder(2, size=(640, 384), noise=0)
    for path in (root / "images").glob("*.png"):
        stripes = np.zeros((384, 640, 3), np.uint8)
        stripes[:, ::2] = 255
        cv2.imwrite(str(path), stripes)
    stills, _ = read_split(root, 3, [], "train")
    for seed in range(4):
        rgb, _ = next(animate(stills, (9,), (160, 96), np.random.default_rng(seed)))
        assert rgb.std() < 20


def test_the_generator_alone_decides(clip):
    one, two, other = clip(3), clip(3), clip(4)
    for (a, x), (b, y) in zip(one, two, strict=True):
        assert np.array_equal(a, b) and np.array_equal(x, y)
    assert any(not np.array_equal(a, b) for (a, _), (b, _) in zip(one, other, strict=True))


def test_a_wander_stays_within_its_limit():
    rng = np.random.default_rng(0)
    wander = Wander(2.0, 7.0, drift=3.0)
    values = [wander.step(rng) for _ in range(500)]
    assert max(map(abs, values)) <= 7
    assert max(values) - min(values) > 7
