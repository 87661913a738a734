"""Results as pictures; matplotlib without its global state."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from twnet_ros.learn.evaluation.result import Result
from twnet_ros.segment.file import whole

MARKERS = "osD^vP*Xhp"
LINES = ("-", "--", ":", "-.")
DPI = 120


def plot_distance(results: Sequence[Result], path: Path) -> None:
    """Write the error accumulation: mIoU against the distance to the key frame (Fig. 8)."""
    figure = Figure((8, 5), layout="constrained")
    axes = figure.add_subplot()
    longest = 0
    for one, (color, marker, line) in zip(results, _styles(results), strict=True):
        reached = [(d, miou) for d, miou in enumerate(one.by_distance) if math.isfinite(miou)]
        longest = max(longest, len(reached))
        many = max(1, len(reached) // 12)
        axes.plot(
            *np.transpose(reached).reshape(2, -1),
            line,
            color=color,
            marker=marker,
            markersize=5,
            markevery=many,
            label=_name(one, results),
        )
    axes.set_xlabel("distance to the key frame (frames)")
    axes.set_ylabel("mIoU (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _finish(figure, axes, len(results))
    save(figure, path)


def plot_speed(results: Sequence[Result], path: Path) -> None:
    """Write mIoU against frames per second, without decoding."""
    figure = Figure((8, 5), layout="constrained")
    axes = figure.add_subplot()
    for one, (color, marker, _) in zip(results, _styles(results), strict=True):
        axes.plot(one.fps, one.miou, marker, color=color, ms=10, label=_name(one, results))
    places = sorted({f"{one.device}, {one.precision}" for one in results})
    axes.set_xlabel(f"frames per second ({'; '.join(places)})")
    axes.set_ylabel("mIoU (%)")
    axes.set_xlim(0, 1.1 * max(one.fps for one in results))
    axes.margins(y=0.15)
    _finish(figure, axes, len(results))
    save(figure, path)


def plot_confusion(
    counts: NDArray[np.int64], classes: Sequence[str], title: str, path: Path
) -> None:
    """Write counts (true class, predicted class) as shares of the true class, in percent.

    A column beyond the classes, predictions that are none of them, is left out.
    """
    size = len(classes)
    pixels = counts.sum(1, keepdims=True)
    share = 100 * counts[:, :size] / np.where(pixels > 0, pixels, 1)
    side = 2.6 + 0.42 * size
    figure = Figure((side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(size), classes, rotation=90)
    axes.set_yticks(range(size), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title)
    for row, column in np.argwhere(share >= 0.5):
        value = share[row, column]
        color = "white" if value > 55 else "black"
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8, color=color)
    figure.colorbar(image, ax=axes, shrink=0.8, label="% of the true class's pixels")
    save(figure, path)


def plot_strips(
    rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]],
    columns: Sequence[str],
    legend: Sequence[tuple[str, tuple[int, int, int]]],
    path: Path,
) -> None:
    """Write rows of RGB pictures (H, W, 3) with names for rows and columns (Fig. 7).

    ``legend`` names the colours (RGB) in them.
    """
    height, width = rows[0][1][0].shape[:2]
    # In inches; pictures of one size leave nothing to be laid out.
    wide, gap, above = 3.2, 0.05, 0.3
    tall = wide * height / width
    beside = 0.2 + 0.1 * max(len(line) for name, _ in rows for line in name.splitlines())
    across = beside + len(columns) * (wide + gap)
    fit = max(1, int(across / 1.7))
    below = 0.15 + 0.25 * -(-len(legend) // fit)
    down = above + len(rows) * (tall + gap) + below
    figure = Figure((across, down))
    for row, (name, pictures) in enumerate(rows):
        bottom = down - above - tall - row * (tall + gap)
        for column, picture in enumerate(pictures):
            left = beside + column * (wide + gap)
            place = (left / across, bottom / down, wide / across, tall / down)
            axes = figure.add_axes(place, xticks=[], yticks=[])
            axes.imshow(picture, interpolation="antialiased", aspect="auto")
            if row == 0:
                axes.set_title(columns[column], fontsize=11)
            if column == 0:
                axes.set_ylabel(name, fontsize=11, rotation=0, ha="right", va="center", labelpad=6)
    marks = [
        Line2D([], [], ls="", marker="s", ms=9, color=to_hex(_unit(color)), label=name)
        for name, color in legend
    ]
    figure.legend(handles=marks, loc="lower center", ncols=fit, frameon=False, borderaxespad=0)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, the file whole or not at all."""
    with whole(path) as file:
        figure.savefig(file, format="png", dpi=DPI)


def _unit(color: tuple[int, int, int]) -> tuple[float, float, float]:
    red, green, blue = color
    return red / 255, green / 255, blue / 255


def _styles(results: Sequence[Result]) -> list[tuple[str, str, str]]:
    """Return colour, marker and line of each: methods differ in colour, models in the others."""
    methods = list(dict.fromkeys(one.method for one in results))
    models = list(dict.fromkeys(one.model for one in results))
    palette = colormaps["tab10"]
    return [
        (
            to_hex(palette(methods.index(one.method) % 10)),
            MARKERS[models.index(one.model) % len(MARKERS)],
            LINES[models.index(one.model) % len(LINES)],
        )
        for one in results
    ]


def _name(one: Result, results: Sequence[Result]) -> str:
    several = len({other.model for other in results}) > 1
    method = one.method.replace("_", " ")
    return f"{one.model}, {method}" if several else method


def _finish(figure: Figure, axes: Axes, entries: int) -> None:
    axes.grid(alpha=0.3)
    if entries > 6:
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    else:
        axes.legend()
