"""The clips that methods are held against each other on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from twnet_ros.learn.data.cache import ClipCache
from twnet_ros.learn.data.clip import Coding
from twnet_ros.learn.data.source import SnippetSource, Source
from twnet_ros.learn.data.still import DataError
from twnet_ros.learn.evaluation.evaluate import Clip, labelled_clips, make_clips

ANIMATED, FRAMES = 8, 36  # clips that are made, and of each, where it is not given
SHOWN = 4  # frames in the strips


@dataclass(frozen=True)
class Trial:
    """Clips, all of which begin with a key frame, and how they are coded and labelled."""

    clips: list[Clip]
    coding: Coding
    every: int  # of so many frames the first is labelled
    distances: list[int]  # of each frame of a clip, from its key frame: alike in all
    scored: list[int]  # numbers of the frames in a clip that are labelled and have labels
    text: str  # what they are
    shown: list[tuple[int, int]]  # frames for strips: the clip's number, the frame's in it

    @property
    def last(self) -> int:
        """The greatest distance to the key frame at which anything is labelled."""
        return max(self.distances[number] for number in self.scored)


def make_trial(
    held_out: Source,
    coding: Coding,
    *,
    clips: int | None,
    frames: int | None,
    every: int,
    distances: Sequence[int],
    cache: Path | None,
    seed: int,
) -> Trial:
    """Take the labelled frames of real sequences, or make clips of other data.

    ``report`` says what the options mean.
    """
    labelled = f", every {every} frames" if every > 1 else ""
    text = f"GOP {coding.gop}, {coding.bits_per_pixel} bit/pixel{labelled}"
    if not isinstance(held_out, SnippetSource):
        if distances:
            raise DataError("--distance: expected real sequences, whose labelled frames it is for")
        if cache:
            raise DataError("--cache: expected real sequences, whose clips are kept there")
        frames = frames or FRAMES
        made = make_clips(held_out, clips or ANIMATED, frames, coding, seed)
        period = min(coding.gop, frames)
        shown = [(0, every * step) for step in spread(-(-period // every))]
        text = f"{len(made)} clips of {frames} frames, {text}"
        away = key_distances(range(0, frames, period), frames, every)
        return Trial(made, coding, every, away, list(range(0, frames, every)), text, shown)
    if frames is not None:
        raise DataError("--frames: expected none, as clips of real sequences end with a label")
    if every > 1 and (not distances or any(d % every for d in distances)):
        raise DataError(f"--every {every}: expected --distance and multiples of {every} there")
    kept = ClipCache(cache, held_out.root) if cache else ClipCache.beside(held_out.root)
    made = labelled_clips(held_out, kept, coding, distances, clips, seed)
    # The clips of one labelled frame follow each other.
    shown = [(number, len(made[number]) - 1) for number in spread(len(distances) or len(made))]
    text = f"{len(made)} clips that lead up to the labelled frames of real sequences, {text}; key "
    text += "steps and times are those of these clips, which have more key frames than a stream"
    ends = sorted({len(clip) - 1 for clip in made})
    return Trial(made, coding, every, list(range(ends[-1] + 1)), ends, text, shown)


def key_distances(keys: Iterable[int], length: int, every: int = 1) -> list[int]:
    """Return how far each frame of a clip is from the key step before it.

    That is taken at the first frame, and from each of the key frames ``keys`` on at the next one
    that is labelled, of ``every`` frames the first.
    """
    steps = {0, *(-(-key // every) * every for key in keys)}
    turns = [*sorted(step for step in steps if step < length), length]
    return [away for start, end in pairwise(turns) for away in range(end - start)]


def spread(count: int) -> list[int]:
    """Return at most SHOWN numbers from 0 to ``count`` - 1, evenly spread."""
    return list(map(int, np.linspace(0, count - 1, min(SHOWN, count)).round()))
