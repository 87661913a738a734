"""Folders of frames: runs, their times, and their camera, in each layout."""

import json

import numpy as np
import pytest

from twnet_ros.bag import BagError, find_runs, usual_fps


@pytest.fixture
def folder(tmp_path):
    """Make a folder of files of these names, with or without content."""

    def make(names, *parts, text=""):
        made = tmp_path.joinpath("data", *parts)
        made.mkdir(parents=True, exist_ok=True)
        for name in names:
            (made / name).write_text(text)
        return made

    return make


@pytest.fixture
def city(folder):
    """Make Cityscapes' frames of (sequence, first number, count), with times and cameras."""

    def make(*snippets, times=True, cameras=True):
        at = ("val", "ulm")
        for sequence, first, count in snippets:
            stems = [f"ulm_{sequence:06d}_{first + n:06d}" for n in range(count)]
            found = folder([f"{s}_leftImg8bit.png" for s in stems], "leftImg8bit_sequence", *at)
            if times:
                for number, stem in enumerate(stems):
                    own = str(59_000_000 * number + 1000)
                    folder([f"{stem}_timestamp.txt"], "timestamp_sequence", *at, text=own)
            if cameras:
                own = json.dumps({"intrinsic": {"fx": 1.0, "fy": 1.0, "u0": 1.0, "v0": 1.0}})
                folder([f"{stems[count // 2]}_camera.json"], "camera", *at, text=own)
        return found

    return make


def names(run):
    return [path.name for path in run.frames]


def test_any_folder_is_one_run(folder):
    found = folder([f"frame_{n}.png" for n in (10, 9, 1)] + ["a.jpg", "notes.txt", "._a.jpg"])
    (run,) = find_runs(found)
    assert names(run) == ["a.jpg", "frame_1.png", "frame_9.png", "frame_10.png"]
    assert run.camera is None
    np.testing.assert_allclose(np.diff(run.times_ns), 1e9 / 17, atol=1)
    (run,) = find_runs(found, 10.0)
    assert run.times_ns == (0, 100_000_000, 200_000_000, 300_000_000)
    assert usual_fps([run]) == 10


def test_cityscapes_snippets_with_their_times_and_cameras(city):
    found = city((3, 0, 4), (4, 0, 3))
    first, second = find_runs(found)
    assert names(first) == [f"ulm_000003_{n:06d}_leftImg8bit.png" for n in range(4)]
    assert first.times_ns == (1000, 59_001_000, 118_001_000, 177_001_000)
    assert first.camera.name == "ulm_000003_000002_camera.json"
    # The second begins at its own zero: it is put a frame's time behind the first.
    assert second.times_ns == tuple(177_001_000 + 59_000_000 * n for n in (1, 2, 3))
    assert second.camera.name == "ulm_000004_000001_camera.json"
    assert usual_fps([first, second]) == round(1e9 / 59e6, 3)


def test_gaps_within_a_sequence_of_cityscapes_are_kept(city):
    numbers = [(sequence, first, 3) for sequence in (0, 1) for first in (100, 300)]
    runs = find_runs(city(*numbers, times=False))
    frames = [round(run.times_ns[0] * 17e-9, 6) for run in runs]
    assert frames == [100, 300, 303, 503]  # the second sequence begins a frame after the first's


def test_one_sequence_or_snippet_of_cityscapes(city):
    found = city((0, 294, 3), (0, 500, 3), (1, 0, 2))
    assert [run.frames[0].name[4:17] for run in find_runs(found)] == [
        "000000_000294",
        "000000_000500",
        "000001_000000",
    ]
    assert len(find_runs(found / "ulm_000000")) == 2
    for name in ("ulm_000000_000501", "ulm_000000_000501_leftImg8bit.png"):
        (run,) = find_runs(found / name)
        assert names(run)[0] == "ulm_000000_000500_leftImg8bit.png"
        assert len(run.frames) == 3
    with pytest.raises(BagError, match="expected a video file or a folder"):
        find_runs(found / "ulm_00000")


def test_cityscapes_without_times(city):
    (run, other) = find_runs(city((0, 17, 3), (0, 51, 2), times=False, cameras=False))
    assert run.times_ns == (10**9, round(18e9 / 17), round(19e9 / 17))
    assert other.times_ns[0] == 3 * 10**9  # where the numbers say that it was
    assert run.camera is None
    (run, other) = find_runs(run.frames[0].parent, 17.0)
    assert other.times_ns[0] == 3 * 10**9


def test_what_is_missing_of_cityscapes_is_named(city):
    found = city((0, 0, 3))
    root = found.parents[2]
    (root / "timestamp_sequence/val/ulm/ulm_000000_000001_timestamp.txt").write_text("soon")
    with pytest.raises(BagError, match="000001_timestamp.txt: expected a time in nanos.*'soon'"):
        find_runs(found)
    (root / "timestamp_sequence/val/ulm/ulm_000000_000001_timestamp.txt").write_text("7")
    with pytest.raises(BagError, match="expected times that rise"):
        find_runs(found)
    (root / "timestamp_sequence/val/ulm/ulm_000000_000001_timestamp.txt").unlink()
    with pytest.raises(BagError, match="000001_timestamp.txt: expected a frame's time, found no"):
        find_runs(found)
    find_runs(found, 17.0)
    (root / "camera/val/ulm/ulm_000000_000001_camera.json").unlink()
    with pytest.raises(BagError, match="expected the camera of a frame from ulm_000000_000000"):
        find_runs(found, 17.0)


def test_camvid_counts_at_30_hz(folder):
    found = folder([f"0016E5_0{n}.png" for n in (7959, 7961, 7963)] + ["Seq05VD_f00000.png"])
    first, second = find_runs(found)
    assert (names(first), first.times_ns) == (["Seq05VD_f00000.png"], (0,))
    assert second.times_ns == tuple(round(n * 1e9 / 30) for n in (7959, 7961, 7963))
    assert usual_fps([first, second]) == 15
    first, second = find_runs(found, 10.0)
    assert first.times_ns + second.times_ns == (0, 10**8, 2 * 10**8, 3 * 10**8)


def test_a_frame_that_is_there_twice(folder):
    found = folder(["0016E5_07959.png", "0016E5_07959.jpg", "0016E5_07961.png"])
    with pytest.raises(BagError, match="0016E5_07959.png: expected times that rise from frame to"):
        find_runs(found)


def test_runs_of_one_frame_are_spaced_by_the_rate_that_is_asked_for(city):
    found = city((0, 19, 1), (1, 19, 1))
    first, second = find_runs(found, 10.0)
    assert first.times_ns == (1_900_000_000,)
    assert second.times_ns == (2_000_000_000,)


def test_a_relative_path_finds_what_lies_beside(city, monkeypatch):
    found = city((0, 0, 3))
    monkeypatch.chdir(found.parent)
    (run,) = find_runs(type(found)("ulm"))
    assert run.times_ns == (1000, 59_001_000, 118_001_000)
    assert run.camera is not None


@pytest.mark.parametrize("fps", [0.0, -1.0, float("inf"), float("nan")])
def test_bad_rates(folder, fps):
    with pytest.raises(BagError, match="expected a positive frame rate, got"):
        find_runs(folder(["a.png"]), fps)


def test_no_frames(folder, tmp_path):
    with pytest.raises(BagError, match="expected a video file or a folder of PNG or JPEG"):
        find_runs(folder(["a.txt"]))
    with pytest.raises(BagError, match="none: expected a video file or a folder"):
        find_runs(tmp_path / "none")
    found = folder(["a_1.png"])
    with pytest.raises(BagError, match="expected a folder of frames, or a part of one of City"):
        find_runs(found / "a")
