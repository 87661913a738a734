"""Pictures of a frame side by side: as decoded, its motion, its residual and its labels."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from twnet_ros.segment.inspection import Inspection
from twnet_ros.segment.picture import Picture
from twnet_ros.segment.render import render_labels, render_motion, render_residual, to_rgb

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
    rows = [_headings(COLUMNS, width)]
    for found, labels in frames:
        pictures = (*side_pictures(found), render_labels(labels, colors))
        blank = "none in an I-frame" if found.frame.key else "no vectors that can be used"
        row = _fit(pictures, width, blank)
        title = f"frame {found.frame.index}, {found.frame.kind.value}"
        cv2.putText(row[0], title, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 0), 1)
        rows.append(_beside(row))
    present = np.unique(np.concatenate([labels.ravel() for _, labels in frames]))
    shown = [i for i in present if i < len(classes)]
    rows.append(legend([classes[i] for i in shown], colors[shown], rows[0].shape[1]))
    return np.concatenate(rows)


def side_pictures(found: Inspection) -> tuple[Picture, Picture | None, Picture | None]:
    """Return a frame's picture, motion and residual (H, W, 3), None where it has none."""
    frame = found.frame
    if frame.motion is None:
        return to_rgb(frame), None, None
    motion = render_motion(frame.motion, frame.height, frame.width)
    return to_rgb(frame), motion, render_residual(found.residual)


def four_panes(
    names: Sequence[str], pictures: Sequence[Picture | None], title: str, width: int = 640
) -> Picture:
    """Return four pictures (RGB), two beside two, each ``width`` pixels wide under its name.

    ``title`` is written behind the first name. A picture that is None is left blank; one of them
    has to be there.
    """
    names = (f"{names[0]}: {title}", *names[1:])
    upper, lower = slice(0, 2), slice(2, 4)
    fitted = _fit(pictures, width, "none of this frame")
    rows = [_headings(names[upper], width), _beside(fitted[upper])]
    rows += [_headings(names[lower], width), _beside(fitted[lower])]
    return np.concatenate(rows)


def legend(
    names: Sequence[str], colors: NDArray[np.uint8], width: int, step: int = 150
) -> Picture:
    """Return coloured squares (RGB) with names, ``step`` pixels apart, as many a line as fit."""
    fit = max(1, (width - MARGIN) // step)
    lines = max(1, -(-len(names) // fit))
    sheet: Picture = np.full((lines * LINE + MARGIN, width, 3), 255, np.uint8)
    for number, (name, color) in enumerate(zip(names, colors, strict=True)):
        x, y = MARGIN + number % fit * step, number // fit * LINE
        sheet[y + 4 : y + 18, x : x + 14] = color
        _write(sheet, name, x + 20, y + 16)
    return sheet


def _fit(pictures: Sequence[Picture | None], width: int, missing: str) -> list[Picture]:
    """Scale pictures to a width and the shape of the first; write ``missing`` where one is."""
    rows, columns = next(one.shape[:2] for one in pictures if one is not None)
    height = max(1, round(rows * width / columns))
    fitted: list[Picture] = []
    for one in pictures:
        if one is None:
            blank: Picture = np.full((height, width, 3), 255, np.uint8)
            _write(blank, missing, 6, 16)
            fitted.append(blank)
        else:
            small = cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA)
            fitted.append(np.asarray(small, np.uint8))
    return fitted


def _beside(pictures: Sequence[Picture]) -> Picture:
    """Join pictures of one size with margins."""
    edge = [
        cv2.copyMakeBorder(one, 0, MARGIN, MARGIN, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        for one in pictures
    ]
    row = np.concatenate(edge, 1)
    right: Picture = np.full((row.shape[0], MARGIN, 3), 255, np.uint8)
    return np.concatenate([row, right], 1)


def _headings(names: Sequence[str], width: int) -> Picture:
    row: Picture = np.full((LINE, len(names) * (width + MARGIN) + MARGIN, 3), 255, np.uint8)
    for column, name in enumerate(names):
        _write(row, name, MARGIN + column * (width + MARGIN), 16)
    return row


def _write(picture: Picture, text: str, x: int, y: int) -> None:
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
