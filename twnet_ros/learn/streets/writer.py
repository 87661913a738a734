"""A street drive as files: frames/00000.png and labels/00000.png."""

import os
from pathlib import Path

import cv2
from tqdm import tqdm

from twnet_ros.learn.streets.array import Array
from twnet_ros.learn.streets.drive import Street


def _write_png(path: Path, picture: Array) -> None:
    """Write to a temporary name first, so that a file is whole or not there."""
    done, data = cv2.imencode(".png", picture)
    if not done:
        raise ValueError(f"{path}: expected a picture that PNG can hold, got {picture.shape}")
    part = path.with_suffix(".part")
    try:
        part.write_bytes(data.tobytes())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_street(
    out_dir: str | os.PathLike[str], frames: int, width: int, height: int, seed: int
) -> None:
    """Render `frames` frames of a seed into `out_dir`/frames (RGB) and /labels (train ids)."""
    if not isinstance(frames, int) or frames < 1:
        raise ValueError(f"frames: expected an integer >= 1, got {frames!r}")
    street = Street(seed, width, height)
    out = Path(out_dir)
    for name in ("frames", "labels"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for index in tqdm(range(frames), desc="streets", unit="frame"):
        picture, labels = street.frame(index)
        _write_png(out / "frames" / f"{index:05d}.png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        _write_png(out / "labels" / f"{index:05d}.png", labels)
