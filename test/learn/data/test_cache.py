"""Clips that are encoded once: found again, noticed when damaged, never stale."""

import os
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from twnet_ros.codec import FrameKind
from twnet_ros.learn.data import cache as module
from twnet_ros.learn.data.cache import ClipCache, StoredClip
from twnet_ros.learn.data.clip import Coding, transcode
from twnet_ros.learn.data.snippet import read_frame
from twnet_ros.learn.data.still import DataError, read_indices

SIZE, CODING = (32, 16), Coding(bits_per_pixel=1.0)


@pytest.fixture
def frames(tmp_path, drive_of):
    """Six frames of a data set, and a label for the last."""
    root, drive = tmp_path / "data", drive_of()
    for number in range(6):
        drive.write(root / "frames" / f"{number}.png", number)
    drive.write_truth(root / "labels" / "5.png", 5)
    return [root / "frames" / f"{number}.png" for number in range(6)]


@pytest.fixture
def kept(frames):
    """The cache beside the data set."""
    return ClipCache.beside(frames[0].parents[1])


@pytest.fixture
def made(monkeypatch):
    """Names of the clips that are encoded."""
    names, write = [], module.write_clip
    monkeypatch.setattr(
        module, "write_clip", lambda path, *a, **k: (names.append(path), write(path, *a, **k))
    )
    return names


def test_a_clip_is_made_once(kept, frames, made, tmp_path):
    path = kept.clip(frames, SIZE, CODING)
    assert path.parents[1] == tmp_path / "data.clips"
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 6
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert kept.clip(frames, SIZE, CODING) == path
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert len(made) == 1


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_a_stored_clip_is_what_the_run_time_would_see(kept, frames, codec):
    coding = replace(CODING, codec=codec, gop=4)
    label = frames[0].parents[1] / "labels" / "5.png"
    clip = StoredClip(kept.clip(frames, SIZE, coding), (*5 * [None], label), read_indices)
    blank = np.full((16, 32), 255, np.uint8)
    pairs = [(read_frame(path, SIZE), blank) for path in frames[:-1]]
    pairs.append((read_frame(frames[-1], SIZE), read_indices(label)))
    assert len(clip) == 6
    for _ in range(2):  # it can be gone through more than once
        for (frame, truth), (same, ids) in zip(clip, transcode(pairs, coding), strict=True):
            assert (frame.index, frame.kind, frame.intact) == (same.index, same.kind, True)
            assert (frame.kind is FrameKind.I) == (frame.index % 4 == 0)
            for plane in ("y", "u", "v"):
                np.testing.assert_array_equal(getattr(frame, plane), getattr(same, plane))
            np.testing.assert_array_equal(truth, ids)


@pytest.mark.parametrize("harm", ["a byte", "cut", "empty"])
def test_a_damaged_clip_is_made_anew(kept, frames, made, caplog, harm):
    path = kept.clip(frames, SIZE, CODING)
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    path.write_bytes({"a byte": flipped, "cut": whole[:middle], "empty": b""}[harm])
    again = kept.clip(frames, SIZE, CODING)
    assert again.read_bytes() == whole
    assert len(made) == 2
    assert "damaged, made anew" in caplog.text
    assert list(path.parent.iterdir()) == [again]


def test_another_coding_or_size_is_another_clip(kept, frames, made):
    codings = [
        CODING,
        replace(CODING, gop=6),
        replace(CODING, fps=15.0),
        replace(CODING, bits_per_pixel=0.5),
        replace(CODING, codec="h264"),
    ]
    paths = {kept.clip(frames, SIZE, coding) for coding in codings}
    paths.add(kept.clip(frames, (64, 32), CODING))
    paths.add(kept.clip(frames[1:], SIZE, CODING))
    assert len(paths) == len(made) == 7
    assert {kept.clip(frames, SIZE, coding) for coding in codings} < paths
    assert len(made) == 7


def test_a_changed_source_file_gives_another_clip(kept, frames, made):
    path = kept.clip(frames, SIZE, CODING)
    state = frames[3].stat()
    frames[3].write_bytes(frames[2].read_bytes())
    os.utime(frames[3], ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert kept.clip(frames, SIZE, CODING) != path
    assert len(made) == 2


def test_changed_code_gives_another_clip(kept, frames, made, monkeypatch):
    path = kept.clip(frames, SIZE, CODING)
    monkeypatch.setattr(module, "_recipe", lambda: "another encoder")
    assert kept.clip(frames, SIZE, CODING) != path
    assert len(made) == 2


def test_all_code_that_makes_a_clip_counts(monkeypatch):
    read, names = Path.read_bytes, []
    monkeypatch.setattr(Path, "read_bytes", lambda path: names.append(path.name) or read(path))
    module._recipe.cache_clear()
    module._recipe()
    assert sorted(names) == ["cache.py", "encoder.py", "picture.py", "snippet.py"]


def test_a_data_set_may_move_with_its_clips(kept, frames, made, tmp_path):
    path = kept.clip(frames, SIZE, CODING)
    away = tmp_path / "away"
    away.mkdir()
    for name in ("data", "data.clips"):
        (tmp_path / name).rename(away / name)
    moved = [away / frame.relative_to(tmp_path) for frame in frames]
    found = ClipCache.beside(away / "data").clip(moved, SIZE, CODING)
    assert found.name == path.name and len(made) == 1


def test_an_interrupted_clip_leaves_nothing(kept, frames, made, monkeypatch):
    def read(path, size):
        if path == frames[4]:
            raise KeyboardInterrupt
        return read_frame(path, size)

    with monkeypatch.context() as patch:
        patch.setattr(module, "read_frame", read)
        with pytest.raises(KeyboardInterrupt):
            kept.clip(frames, SIZE, CODING)
    assert [p for p in kept.folder.rglob("*") if p.is_file()] == []
    assert kept.clip(frames, SIZE, CODING).is_file()


def test_what_a_killed_process_left_is_not_taken_for_a_clip(kept, frames, made):
    path = kept.clip(frames, SIZE, CODING)
    digest = path.name.partition(".")[0]
    path.rename(path.with_name(f".{digest}.1.avi"))
    assert kept.clip(frames, SIZE, CODING) == path
    assert len(made) == 2


def test_a_folder_that_cannot_be_written_to(frames, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="file: expected a folder to keep clips in, which --cache"):
        ClipCache(tmp_path / "file", frames[0].parents[1]).clip(frames, SIZE, CODING)


def test_a_frame_that_is_gone(kept, frames):
    frames[2].unlink()
    with pytest.raises(OSError, match=r"2\.png"):
        kept.clip(frames, SIZE, CODING)
    frames[2].write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"2\.png: expected a PNG or JPEG picture"):
        kept.clip(frames, SIZE, CODING)
    assert [p for p in kept.folder.rglob("*") if p.is_file()] == []
