"""Make the pictures in this folder: ``make pictures``, or ``python docs/pictures.py [FOLDER]``."""

import json
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from twnet_ros.codec import BlockMotion, write_clip
from twnet_ros.learn.streets import write_street
from twnet_ros.segment import CAMVID, CITYSCAPES, ClassSet, Segmenter, render_motion
from twnet_ros.segment.contact import contact_sheet, legend
from twnet_ros.segment.inspection import inspect
from twnet_ros.segment.picture import Picture, read_rgb, write_png
from twnet_ros.segment.render import LONGEST_PX
from twnet_ros.segment.replay import replay

DOCS = Path(__file__).parent
# A rendered street that no model has seen, and the frames of it that are shown.
MODEL, SEED, FRAMES, SIZE = "streets-mobilenetv1-layer1", 1_000_003, 96, (1024, 512)
SHOWN = (0, 23, 47, 70, 94)
EDGE = 12  # pixels


def make(folder: Path) -> None:
    """Write all of them."""
    write_png(folder / "legend_cityscapes.png", class_legend(CITYSCAPES))
    write_png(folder / "legend_camvid.png", class_legend(CAMVID))
    write_png(folder / "legend_motion.png", motion_legend())
    write_png(folder / "contact_sheet.png", street_sheet())
    frame_time_plot().savefig(folder / "frame_time.png")


def class_legend(classes: ClassSet) -> Picture:
    """Return the classes' colours with train ids and names."""
    names = [f"{number} {name}" for number, name in enumerate(classes.names)]
    colors = np.array([*classes.colors, (0, 0, 0)], np.uint8)
    return legend([*names, "255 unlabelled"], colors, width=5 * 160 + 8, step=160)


def motion_legend() -> Picture:
    """Return the colours of motion as a wheel, and what they mean."""
    radius, side = 100, 202  # blocks, pixels
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32)
    displacement = np.stack([columns, rows], -1) * (LONGEST_PX / radius)
    motion = BlockMotion(displacement, np.full(rows.shape, -1, np.int8))
    blocks = render_motion(motion, 8 * len(rows), 8 * len(rows))[::8, ::8]
    blocks[np.hypot(rows, columns) > radius] = 255
    sheet: Picture = np.full((side + 2 * EDGE, 560, 3), 255, np.uint8)
    wheel = cv2.resize(blocks, (side, side), interpolation=cv2.INTER_AREA)
    sheet[EDGE : EDGE + side, EDGE : EDGE + side] = wheel
    lines = (
        "where a block came from:",
        "red: from the right, it moves to the left",
        "cyan: from the left; blue-violet: from above",
        "yellow-green: from below",
        f"white: stands still; the rim: {LONGEST_PX:.0f} pixels a frame, or more",
        "black: has no vector (intra)",
    )
    for number, line in enumerate(lines):
        place = (side + 3 * EDGE, 2 * EDGE + 14 + 32 * number)
        cv2.putText(sheet, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return sheet


def street_sheet() -> Picture:
    """Return some frames of a street, encoded as MPEG-4, with the labels of the shipped model."""
    with tempfile.TemporaryDirectory() as folder:
        street, clip = Path(folder) / "street", Path(folder) / "street.avi"
        write_street(street, FRAMES, *SIZE, SEED)
        frames = (read_rgb(path) for path in sorted((street / "frames").glob("*.png")))
        write_clip(clip, frames, codec="mpeg4", gop=12, fps=17.0, bitrate=3_000_000)
        segmenter = Segmenter.load(MODEL, "cpu", "fp32")
        labels = {frame.index: result.labels for frame, result in replay(clip, segmenter)}
        rows = [
            (one, labels[one.frame.index]) for one in inspect(clip) if one.frame.index in SHOWN
        ]
    return contact_sheet(rows, segmenter.classes, segmenter.colors)


def frame_time_plot() -> Figure:
    """Return where the time of a frame went and goes, as frame_time.json has it."""
    measured = json.loads((DOCS / "frame_time.json").read_text(encoding="utf-8"))
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots()
    names, stages = [], ("decode", "input", "network", "output")
    for step, times in measured["median_ms"].items():
        for when in ("before", "after"):
            names.append(f"{step}, {when}")
            start = 0.0
            for stage, color in zip(
                stages, ("#7f7f7f", "#1f77b4", "#2ca02c", "#ff7f0e"), strict=True
            ):
                took = times[when][stage]
                first = len(names) == 1
                axes.barh(
                    len(names), took, left=start, color=color, label=stage if first else None
                )
                start += took
            axes.text(start + 6, len(names), f"{start:.0f} ms", va="center", fontsize=9)
    axes.set_yticks(range(1, len(names) + 1), names)
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.set_xlabel("ms of a frame, median")
    axes.set_title(f"{measured['clip']}; {measured['model']}", fontsize=10)
    axes.legend(loc="upper right")
    return figure


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS)
