"""What the samples of a benchmark amount to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from twnet_ros.segment import Path, Segmentation

Spread = dict[str, float]  # "median" and "p95"
RATE_HZ = 30.0
BEHIND = "falls behind"


@dataclass
class Samples:
    """What was timed of one path, milliseconds; a round is a few whole GOPs."""

    key: list[dict[str, float]] = field(default_factory=list)  # a key step's times_ms
    nonkey: list[dict[str, float]] = field(default_factory=list)  # and a non-key step's
    alone: list[float] = field(default_factory=list)  # a frame, by round, one after another
    overlapped: list[float] = field(default_factory=list)  # the same with decoding ahead
    latency: list[float] = field(default_factory=list)  # from arrival to labels at RATE_HZ

    def take(self, result: Segmentation) -> None:
        """Keep a frame's times, not its labels."""
        steps = self.key if result.path is Path.KEY else self.nonkey
        steps.append(result.times_ms)

    @property
    def frames(self) -> int:
        """How many were taken."""
        return len(self.key) + len(self.nonkey)

    @property
    def step_ms(self) -> float:
        """The network alone, median: the non-key step where there is one."""
        return float(np.median([times["network"] for times in self.nonkey or self.key]))

    @property
    def gop_ms(self) -> float:
        """A frame from packet to labels at full speed, GOP average, median over the rounds."""
        return float(np.median(self.overlapped))

    @property
    def fps(self) -> float:
        """Frames a second from packet to labels at full speed, GOP average."""
        return 1e3 / self.gop_ms

    @property
    def keeps_up(self) -> bool:
        """Whether it is as fast as frames come at RATE_HZ."""
        return self.fps >= RATE_HZ


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the 95th percentile."""
    median, late = np.percentile(values, [50, 95])
    return {"median": round(float(median), 3), "p95": round(float(late), 3)}


def stages(samples: Samples) -> dict[str, Spread]:
    """Return each stage's times in the engine; there is no non-key step where none was taken."""
    both = [*samples.key, *samples.nonkey]
    values = {
        "decode": [times["decode"] for times in both],
        "key_input": [times["input"] for times in samples.key],
        "nonkey_input": [times["input"] for times in samples.nonkey],
        "key": [times["network"] for times in samples.key],
        "nonkey": [times["network"] for times in samples.nonkey],
        "output": [times["output"] for times in both],
        "end_to_end": [times["total"] for times in both],
    }
    return {name: spread(found) for name, found in values.items() if found}


def gop(samples: Samples) -> dict[str, float]:
    """Return the GOP average a frame, and what its stages would allow.

    ``slowest_share`` is the greater of what decoding and what the engine takes of it when neither
    disturbs the other: with both at once, each on a core of its own, it cannot be less. Like the
    others it is of medians, those of key and non-key frames.
    """
    steps = [kind for kind in (samples.key, samples.nonkey) if kind]

    def average(of: Callable[[dict[str, float]], float]) -> float:
        total = sum(len(kind) * float(np.median([of(times) for times in kind])) for kind in steps)
        return total / samples.frames

    decode = average(lambda times: times["decode"])
    engine = average(lambda times: times["total"] - times["decode"])
    values = {
        "overlapped": samples.gop_ms,
        "one_by_one": float(np.median(samples.alone)),
        "slowest_share": max(decode, engine),
    }
    return {name: round(value, 3) for name, value in values.items()}


def latency(samples: Samples) -> Spread | str:
    """Return the latency at RATE_HZ, or BEHIND where frames come faster than they are labelled."""
    return spread(samples.latency) if samples.latency and samples.keeps_up else BEHIND


def ratios(per_frame: float, others: Mapping[str, float]) -> dict[str, float]:
    """Return how many times as long the per-frame time is as each of the others."""
    return {name: round(per_frame / value, 3) for name, value in others.items()}


def turns(names: Sequence[str], rounds: int) -> list[str]:
    """Return whose turn it is: all in each round, each time another one first.

    What else the machine does, and how warm it is, then hits all alike.
    """
    order = []
    for number in range(rounds):
        first = number % len(names)
        order += [*names[first:], *names[:first]]
    return order
