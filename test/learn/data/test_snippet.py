"""Real sequences as clips: walks up to a labelled frame, and what a source makes of them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from twnet_ros.learn.data.cityscapes import read_split
from twnet_ros.learn.data.dataset import open_data
from twnet_ros.learn.data.snippet import Snippet, read_frame, read_truth
from twnet_ros.learn.data.source import SnippetSource
from twnet_ros.learn.data.still import DataError, read_indices
from twnet_ros.learn.training.rollout import Lanes, Rollout
from twnet_ros.segment.picture import write_png

SNIPPET = Snippet(tuple(Path(f"{n}.png") for n in range(30)), {19: Path("label.png")})


def test_a_short_walk_is_what_lies_before_the_labelled_frame():
    assert SNIPPET.walk_to(19, 1) == [19]
    assert SNIPPET.walk_to(19, 12) == list(range(8, 20))
    assert SNIPPET.walk_to(19, 20) == list(range(20))


def test_a_long_walk_turns_at_both_ends():
    assert SNIPPET.walk_to(19, 22) == [2, 1, *range(20)]
    walk = SNIPPET.walk_to(19, 101)
    assert len(walk) == 101 and walk[-20:] == list(range(20))
    assert set(walk) == set(range(30))
    assert all(abs(a - b) == 1 for a, b in zip(walk, walk[1:], strict=False))
    first = Snippet(SNIPPET.frames[:3], {0: Path("label.png")})
    assert first.walk_to(0, 6) == [1, 0, 1, 2, 1, 0]
    alone = Snippet(SNIPPET.frames[:1], {0: Path("label.png")})
    assert alone.walk_to(0, 4) == [0, 0, 0, 0]


def test_frames_are_scaled_and_never_distorted(tmp_path, drive_of):
    drive = drive_of(size=(64, 32))
    drive.write(tmp_path / "a.png", 0)
    assert read_frame(tmp_path / "a.png", (64, 32)).shape == (32, 64, 3)
    half = read_frame(tmp_path / "a.png", (32, 16))
    assert half.shape == (16, 32, 3)
    expected = cv2.resize(drive.rgb[:, :64], (32, 16), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(half, expected)
    with pytest.raises(
        DataError,
        match="expected clips of the frames' aspect ratio, 64x32, as in 40x20, got 40x30",
    ):
        read_frame(tmp_path / "a.png", (40, 30))


def test_truth_is_scaled_or_unlabelled(tmp_path, drive_of):
    drive = drive_of(size=(64, 32))
    drive.write_truth(tmp_path / "a.png", 0)
    half = read_truth(tmp_path / "a.png", (32, 16), read_indices)
    np.testing.assert_array_equal(half, drive.truth(0)[::2, ::2])
    assert read_truth(None, (32, 16), read_indices).tolist() == 16 * [32 * [255]]


def test_truth_is_that_of_the_pixel_behind_the_centre(tmp_path):
    ids = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_png(tmp_path / "a.png", ids)
    np.testing.assert_array_equal(
        read_truth(tmp_path / "a.png", (8, 8), read_indices), ids[1::2, 1::2]
    )


def test_truth_is_never_distorted(tmp_path, drive_of):
    drive_of(size=(64, 48)).write_truth(tmp_path / "a.png", 0)
    with pytest.raises(DataError, match="expected labels of their frame's .* 32x16 .* got 64x48"):
        read_truth(tmp_path / "a.png", (32, 16), read_indices)


@pytest.fixture
def real(cityscapes_folder):
    """Snippets of Cityscapes' layout, 32x16."""
    root = cityscapes_folder(snippets=True)
    return SnippetSource(root, *read_split(root, "train"), (32, 16))


def test_clips_end_at_a_labelled_frame(real):
    for seed in range(6):
        clip = list(real.clip(np.random.default_rng(seed), 14))
        assert len(clip) == 14
        assert all((ids == 255).all() for _, ids in clip[:-1])
        rgb, ids = clip[-1]
        assert set(ids.ravel().tolist()) <= {0, 10, 13}
        # Whatever was done to colours and sides was done to picture and labels alike.
        grey = rgb.astype(int).mean(-1)
        assert grey[ids == 10].min() > grey[ids == 0].max()


def test_a_clip_size_that_does_not_fit_is_said_of_the_frames(cityscapes_folder):
    """Whose message says what would."""
    root = cityscapes_folder(snippets=True)
    source = SnippetSource(root, *read_split(root, "train"), (40, 30))
    with pytest.raises(DataError, match=r"leftImg8bit\.png: .*, 32x16, as in 40x20, got 40x30"):
        next(source.clip(np.random.default_rng(0), 1))


def test_what_is_held_out_is_scored_as_it_is(cityscapes_folder):
    data = open_data(str(cityscapes_folder(snippets=True)), None, (32, 16), [])
    held_out = data.held_out()
    snippet, number = held_out.labelled()[0]
    own = {
        read_frame(one.frames[last], held_out.size).tobytes() for one, last in held_out.labelled()
    }
    for seed in range(4):
        *_, (rgb, _) = held_out.clip(np.random.default_rng(seed), 3)
        assert rgb.tobytes() in own
    *_, (rgb, _) = data.training().clip(np.random.default_rng(0), 3)
    assert rgb.tobytes() not in own


def test_colours_stay_from_frame_to_frame(real):
    for seed in range(4):
        clip = list(real.clip(np.random.default_rng(seed), 5))
        colours = [np.unique(rgb.reshape(-1, 3), axis=0).tolist() for rgb, _ in clip]
        assert len(colours[0]) == 3
        assert all(one == colours[0] for one in colours)


def test_the_seed_alone_decides(real):
    def clip(seed):
        return [rgb.tobytes() for rgb, _ in real.clip(np.random.default_rng(seed), 4)]

    assert clip(1) == clip(1)
    assert len({tuple(clip(seed)) for seed in range(12)}) > 6


def test_samples_are_the_labelled_frames(real):
    rgb, labels = real.sample(np.random.default_rng(0))
    assert rgb.shape == (16, 32, 3) and set(labels.ravel().tolist()) <= {0, 10, 13}


def test_training_walks_along_real_clips(cityscapes_folder, network):
    root = cityscapes_folder(snippets=True)
    stills, snippets = read_split(root, "train")
    source = SnippetSource(root, stills, snippets, (64, 32))
    rollout = Rollout(frames=4, shortest=8, longest=8)
    stretches = Lanes(source, network(), rollout, 2, (0, 0))
    for number, stretch in zip(range(4), stretches, strict=False):
        labelled = (stretch.labels != 255).flatten(1).any(1)
        assert stretch.image.isfinite().all()
        # The second stretch of each walk is its last: its last frame alone is labelled.
        assert labelled.tolist() == [number % 2 == 1] * 2
