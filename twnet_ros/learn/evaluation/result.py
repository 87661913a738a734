"""The numbers that a method of a model reached, for tables and plots."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from twnet_ros.learn.evaluation.category import categories
from twnet_ros.learn.evaluation.evaluate import Score


@dataclass(frozen=True)
class Result:
    """What is written into reports; shares in percent, NaN where nothing was to be measured."""

    model: str
    method: str
    miou: float
    iou: dict[str, float]  # of each class
    categories: dict[str, float]  # IoU of each category; none where the data has none
    by_distance: list[float]  # mIoU at each distance to the key frame, from 0 on
    temporal_consistency: float
    gmacs: dict[str, float]  # of "key" and "nonkey" steps, 10^9 multiply-accumulates
    input_size: tuple[int, int]  # (width, height) of the network's input, by which they go
    key_steps: float  # share of the labelled frames
    delay: int  # frames, at most, from a frame to its labels
    fps: float  # without decoding, as all times
    ms_median: float
    ms_p95: float
    state_rms: dict[str, float]  # at the "first" frame and the "greatest" of all
    device: str
    precision: str

    def to_json(self) -> dict[str, object]:
        """Return what JSON can hold: rounded, null for NaN."""
        found: dict[str, object] = plain(asdict(self))  # type: ignore[assignment]
        return found


def summarise(
    score: Score,
    model: str,
    method: str,
    classes: Sequence[str],
    distances: Sequence[int],
    gmacs: tuple[float, float],
    input_size: tuple[int, int],
) -> Result:
    """Return the numbers of a score on clips.

    ``distances`` has that of each frame of a clip from its key frame.
    ``gmacs`` are those of the key and the non-key step at ``input_size`` (width, height).
    """
    total = score.total()
    groups = categories(classes)
    merged = total.merged(list(groups.values())).iou() if groups else np.empty(0)
    times = score.tally.times_ms
    median, p95 = np.percentile(times, (50, 95))
    return Result(
        model=model,
        method=method,
        miou=total.miou(),
        iou=dict(zip(classes, map(float, total.iou()), strict=True)),
        categories=dict(zip(groups, map(float, merged), strict=True)),
        by_distance=[confusion.miou() for confusion in score.by_distance(distances)],
        temporal_consistency=score.tally.consistency.share(),
        gmacs={"key": gmacs[0], "nonkey": gmacs[1]},
        input_size=input_size,
        key_steps=100 * score.keys,
        delay=score.delay,
        fps=1e3 / float(np.mean(times)),
        ms_median=float(median),
        ms_p95=float(p95),
        state_rms={"first": float(score.context_rms[0]), "greatest": max(score.context_rms)},
        device=score.device,
        precision=score.precision,
    )


def plain(value: object) -> object:
    """Return what JSON can hold: rounded, None for NaN."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value
