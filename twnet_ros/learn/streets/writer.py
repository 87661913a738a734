"""A street drive as files: frames/00000.png and labels/00000.png."""

import os
from pathlib import Path

from tqdm import tqdm

from twnet_ros.learn.streets.drive import Street
from twnet_ros.segment.picture import write_png


def write_street(
    out_dir: str | os.PathLike[str], frames: int, width: int, height: int, seed: int
) -> None:
    """Render ``frames`` frames of a seed into ``out_dir``/frames (RGB) and /labels (train ids)."""
    if not isinstance(frames, int) or frames < 1:
        raise ValueError(f"frames: expected an integer >= 1, got {frames!r}")
    street = Street(seed, width, height)
    out = Path(out_dir)
    for name in ("frames", "labels"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for index in tqdm(range(frames), desc="streets", unit="frame"):
        picture, labels = street.frame(index)
        write_png(out / "frames" / f"{index:05d}.png", picture)
        write_png(out / "labels" / f"{index:05d}.png", labels)
