"""Results as Markdown tables."""

import math
from collections.abc import Sequence

import numpy as np

from twnet_ros.learn import markdown
from twnet_ros.learn.evaluation.result import Result

WATCHED = ("person", "pedestrian", "car")  # non-rigid and moving: where warping alone fails
COLUMNS = 12  # of numbers, at most, side by side: as many as a GOP has
NAMES = ["model", "method"]


def overall(results: Sequence[Result], distance: int) -> str:
    """Return the table of one number of each kind, mIoU also at a distance to the key frame."""
    watched = [name for name in WATCHED if name in results[0].iou]
    head = [*NAMES, "mIoU", *watched, f"distance {distance}", "consistency"]
    head += ["GMACs key / non-key", "key steps", "delay", "fps", "ms (p95)", "state RMS"]
    rows = []
    for one in results:
        values = [one.miou, *(one.iou[name] for name in watched), one.by_distance[distance]]
        values.append(one.temporal_consistency)
        rows.append(
            [
                one.model,
                one.method,
                *map(_number, values),
                f"{one.gmacs['key']:.2f} / {one.gmacs['nonkey']:.2f}",
                f"{one.key_steps:.0f} %",
                str(one.delay),
                _number(one.fps),
                f"{one.ms_median:.1f} ({one.ms_p95:.1f})",
                f"{one.state_rms['first']:.2f} to {one.state_rms['greatest']:.2f}",
            ]
        )
    return markdown.table(head, rows)


def by_category(results: Sequence[Result]) -> str:
    """Return the table of IoU by category, empty where there are none."""
    names = list(results[0].categories)
    return _numbers(names, results, [list(one.categories.values()) for one in results])


def by_class(results: Sequence[Result]) -> str:
    """Return tables of IoU by class, in train-id order, a dash for those the truth lacks."""
    return _numbers(list(results[0].iou), results, [list(one.iou.values()) for one in results])


def by_distance(results: Sequence[Result]) -> str:
    """Return the table of mIoU by distance to the key frame.

    Of more labelled distances than there is room for, evenly spread ones are shown.
    """
    labelled = [d for d, miou in enumerate(results[0].by_distance) if math.isfinite(miou)]
    if len(labelled) > COLUMNS:
        spread = np.linspace(0, len(labelled) - 1, COLUMNS).round().astype(int)
        labelled = [labelled[index] for index in spread]
    chosen = [[one.by_distance[distance] for distance in labelled] for one in results]
    return _numbers([str(distance) for distance in labelled], results, chosen)


def _numbers(
    names: Sequence[str], results: Sequence[Result], values: Sequence[Sequence[float]]
) -> str:
    """Return as many tables, equally wide, as the columns need."""
    count = -(-len(names) // COLUMNS)
    tables = []
    for part in np.array_split(np.arange(len(names)), count) if count else []:
        head = [*NAMES, *(names[index] for index in part)]
        rows = [
            [one.model, one.method, *(_number(found[index]) for index in part)]
            for one, found in zip(results, values, strict=True)
        ]
        tables.append(markdown.table(head, rows))
    return "\n\n".join(tables)


def _number(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "–"
