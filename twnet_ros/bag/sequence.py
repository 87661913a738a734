"""Folders of frames: which follow each other, when each was taken, and by which camera.

Cityscapes as it is published, ``leftImg8bit_sequence/<split>/<city>/``, with
``timestamp_sequence/`` (nanoseconds since the sequence began) and ``camera/`` beside it where they
are; CamVid, whose names count frames at 30 Hz; and any other folder of pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from twnet_ros.bag.error import BagError

DEFAULT_FPS = 17.0  # Cityscapes'
CAMVID_FPS = 30.0
PICTURES = (".png", ".jpg", ".jpeg")

_CITYSCAPES = re.compile(r"([^_]+_\d{6})_(\d{6})_leftImg8bit\.png")  # sequence, frame's number
_CAMVID = re.compile(r"(0001TP|0006R0|0016E5|Seq05VD)_f?(\d+)\.(?:png|jpe?g)")
_FRAMES, _TIMES, _CAMERAS = "leftImg8bit_sequence", "timestamp_sequence", "camera"
_ENDING = "_leftImg8bit.png"


@dataclass(frozen=True)
class Run:
    """Frames that follow each other, and of Cityscapes and CamVid their recording."""

    frames: tuple[Path, ...]
    times_ns: tuple[int, ...]  # of each frame, rising
    camera: Path | None = None  # file of its calibration


def find_runs(frames: Path, fps: float | None = None) -> list[Run]:
    """Return the runs of a folder of frames, one after the other in time.

    In the place of a folder of Cityscapes, ``<city>_<sequence>`` in it, or that and the number of
    a frame, takes the snippets of that sequence, or the one that holds the frame. Times are those
    of the recording, else spaced by 17 Hz; with ``fps`` all are spaced by that. A run whose times
    begin no later than the run before ends, as those of each sequence of Cityscapes do, is put a
    frame's time behind it, and what follows is later by as much. BagError says what is missing.
    """
    if fps is not None and not 0 < fps < float("inf"):
        raise BagError(f"expected a positive frame rate, got {fps}")
    folder = (frames if frames.is_dir() else frames.parent).absolute()
    found = list(folder.iterdir()) if folder.is_dir() else []
    paths = [path for path in found if path.suffix.lower() in PICTURES and path.name[0] != "."]
    paths.sort(key=_natural)
    wanted = "" if frames.is_dir() else frames.name.removesuffix(_ENDING) + "_"
    if not any(path.name.startswith(wanted) for path in paths):
        raise BagError(f"{frames}: expected a video file or a folder of PNG or JPEG frames")
    names = [path.name for path in paths]
    if all(map(_CITYSCAPES.fullmatch, names)):
        parts = [run for run in _split(paths, 1) if any(p.name.startswith(wanted) for p in run)]
        runs = [_cityscapes(folder, run, fps) for run in parts]
    elif wanted:
        raise BagError(f"{frames}: expected a folder of frames, or a part of one of Cityscapes'")
    elif all(map(_CAMVID.fullmatch, names)):
        runs = [_camvid(run, fps) for run in _split(paths, None)]
    else:
        runs = [Run(tuple(paths), _even(range(len(paths)), fps or DEFAULT_FPS))]
    return list(_one_after_the_other(runs, fps))


def usual_fps(runs: Sequence[Run]) -> float:
    """Return the median frame rate of runs."""
    return round(1e9 / _period_ns(runs), 3)


def _period_ns(runs: Sequence[Run]) -> int:
    steps = [step for run in runs for step in np.diff(run.times_ns)]
    return round(float(np.median(steps)) if steps else 1e9 / DEFAULT_FPS)


def _cityscapes(folder: Path, run: list[Path], fps: float | None) -> Run:
    times_ns, camera = _even(map(_number, run), fps or DEFAULT_FPS), None
    if folder.parent.parent.name == _FRAMES:
        root, city = folder.parents[2], Path(folder.parent.name, folder.name)
        times, cameras = root / _TIMES / city, root / _CAMERAS / city
        if times.is_dir() and not fps:
            times_ns = tuple(_read_time(times / _file(path, "timestamp.txt")) for path in run)
        if cameras.is_dir():
            camera = _camera(cameras, run)
    return _rising(Run(tuple(run), times_ns, camera))


def _camvid(run: list[Path], fps: float | None) -> Run:
    numbers = range(len(run)) if fps else map(_number, run)
    return _rising(Run(tuple(run), _even(numbers, fps or CAMVID_FPS)))


def _rising(run: Run) -> Run:
    for (earlier, later), path in zip(pairwise(run.times_ns), run.frames[1:], strict=True):
        if later <= earlier:
            raise BagError(f"{path}: expected times that rise from frame to frame")
    return run


def _camera(cameras: Path, run: list[Path]) -> Path:
    """Return the calibration of a snippet, which is that of its labelled frame."""
    for path in run:
        file = cameras / _file(path, "camera.json")
        if file.is_file():
            return file
    raise BagError(f"{cameras}: expected the camera of a frame from {run[0].name} on, found none")


def _read_time(path: Path) -> int:
    if not path.is_file():
        raise BagError(f"{path}: expected a frame's time, found no such file")
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if not text.isdecimal():
        raise BagError(f"{path}: expected a time in nanoseconds, got {text[:40]!r}")
    return int(text)


def _file(path: Path, ending: str) -> str:
    """Return the name of what else there is of a frame of Cityscapes."""
    return f"{path.name.removesuffix(_ENDING)}_{ending}"


def _parts(path: Path) -> tuple[str, int]:
    """Return the sequence of a frame of Cityscapes or CamVid, and its number there."""
    match = _CITYSCAPES.fullmatch(path.name) or _CAMVID.fullmatch(path.name)
    if match is None:
        raise BagError(f"{path}: expected a frame of Cityscapes or CamVid")
    return match[1], int(match[2])


def _number(path: Path) -> int:
    return _parts(path)[1]


def _split(paths: Sequence[Path], step: int | None) -> list[list[Path]]:
    """Split where another sequence begins or, with a step, the numbers do not go on by it."""
    runs: list[list[Path]] = []
    before = ("", 0)
    for path in paths:
        sequence, number = _parts(path)
        goes_on = sequence == before[0] and (step is None or number == before[1] + step)
        if not goes_on:
            runs.append([])
        runs[-1].append(path)
        before = sequence, number
    return runs


def _even(numbers: Iterable[int], fps: float) -> tuple[int, ...]:
    return tuple(round(number * 1e9 / fps) for number in numbers)


def _one_after_the_other(runs: Sequence[Run], fps: float | None) -> Iterator[Run]:
    last_ns, period_ns = -1, round(1e9 / fps) if fps else _period_ns(runs)
    late = 0  # stays what it is until times begin anew: the gaps within a sequence are kept
    for run in runs:
        first_ns = run.times_ns[0] + late
        if first_ns <= last_ns:
            late += last_ns + period_ns - first_ns
        times_ns = tuple(time_ns + late for time_ns in run.times_ns)
        last_ns = times_ns[-1]
        yield Run(run.frames, times_ns, run.camera)


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    """Sort by name, numbers in it by their value: frame_9 comes before frame_10."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
