"""A contact sheet: a few frames, each as picture, motion, residual and labels."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from twnet_ros.segment.inspection import Inspection
from twnet_ros.segment.render import render_labels, render_motion, render_residual, to_rgb

Picture = NDArray[np.uint8]
MARGIN, LINE = 8, 22  # pixels
COLUMNS = ("picture", "motion vectors", "residual", "labels")


def contact_sheet(
    frames: Sequence[tuple[Inspection, Picture]],
    classes: Sequence[str],
    colors: NDArray[np.uint8],
    width: int = 400,
) -> Picture:
    """Return a sheet (RGB) of frames with their labels, each picture ``width`` pixels wide.

    The colour legend names the classes that occur.
    """
    rows = [_headings(width)]
    for found, labels in frames:
        frame = found.frame
        motion = render_motion(frame.motion, frame.height, frame.width)
        cells = [to_rgb(frame), motion, render_residual(found.residual)]
        cells.append(render_labels(labels, colors))
        height = round(frame.height * width / frame.width)
        small: list[Picture] = [
            np.asarray(cv2.resize(cell, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
            for cell in cells
        ]
        if frame.motion is None:
            for cell in small[1:3]:
                cell[:] = 255
                _write(cell, "none in an I-frame", 6, 16)
        title = f"frame {frame.index}, {frame.kind.value}"
        cv2.putText(small[0], title, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 0), 1)
        rows.append(_beside(small))
    present = np.unique(np.concatenate([labels.ravel() for _, labels in frames]))
    shown = [i for i in present if i < len(classes)]
    rows.append(_legend(rows[0].shape[1], [(classes[i], colors[i]) for i in shown]))
    return np.concatenate(rows)


def _beside(cells: Sequence[Picture]) -> Picture:
    """Join pictures of one size with margins."""
    edge = [
        cv2.copyMakeBorder(cell, 0, MARGIN, MARGIN, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        for cell in cells
    ]
    row = np.concatenate(edge, 1)
    right: Picture = np.full((row.shape[0], MARGIN, 3), 255, np.uint8)
    return np.concatenate([row, right], 1)


def _headings(width: int) -> Picture:
    row: Picture = np.full((LINE, len(COLUMNS) * (width + MARGIN) + MARGIN, 3), 255, np.uint8)
    for column, name in enumerate(COLUMNS):
        _write(row, name, MARGIN + column * (width + MARGIN), 16)
    return row


def _legend(width: int, entries: Sequence[tuple[str, NDArray[np.uint8]]]) -> Picture:
    """Draw coloured squares with names, as many a line as fit."""
    step = 150
    fit = max(1, (width - MARGIN) // step)
    lines = max(1, -(-len(entries) // fit))
    sheet: Picture = np.full((lines * LINE + MARGIN, width, 3), 255, np.uint8)
    for number, (name, color) in enumerate(entries):
        x, y = MARGIN + number % fit * step, number // fit * LINE
        sheet[y + 4 : y + 18, x : x + 14] = color
        _write(sheet, name, x + 20, y + 16)
    return sheet


def _write(picture: Picture, text: str, x: int, y: int) -> None:
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
