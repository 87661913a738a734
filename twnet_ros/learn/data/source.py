"""Where labelled pictures and clips come from."""

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from twnet_ros.learn.data.animate import animate
from twnet_ros.learn.data.augment import recolor
from twnet_ros.learn.data.snippet import Snippet, read_frame, read_truth
from twnet_ros.learn.data.still import Stills
from twnet_ros.learn.streets import Street
from twnet_ros.segment.picture import Picture

logger = logging.getLogger(__name__)

Labelled = tuple[Picture, Picture]  # RGB (H, W, 3) and train ids (H, W)


class Source(Protocol):
    """A data set that both training steps can draw from."""

    def sample(self, rng: np.random.Generator) -> Labelled:
        """Return one labelled picture drawn at random."""
        ...

    def clip(self, rng: np.random.Generator, frames: int) -> Iterator[Labelled]:
        """Yield so many frames of a random clip; if only some have labels, the last has."""
        ...


class StillSource:
    """Stills, and clips made from them by moving camera and objects."""

    def __init__(self, stills: Stills, movers: tuple[int, ...], size: tuple[int, int]) -> None:
        """Cut moving objects of the train ids ``movers``; clips have ``size`` (width, height)."""
        self.stills, self.movers, self.size = stills, movers, size
        self._told = False

    def sample(self, rng: np.random.Generator) -> Labelled:
        """Return a random still."""
        return self.stills.sample(rng)

    def clip(self, rng: np.random.Generator, frames: int) -> Iterator[Labelled]:
        """Animate a random still."""
        if not self.movers and not self._told:
            self._told = True
            logger.warning("no class is called as what moves is: nothing passes through clips")
        return islice(animate(self.stills, self.movers, self.size, rng), frames)


class SnippetSource:
    """Real sequences of frames, some of which are labelled."""

    def __init__(
        self,
        root: Path,
        stills: Stills,
        snippets: list[Snippet],
        size: tuple[int, int],
        varied: bool = True,
    ) -> None:
        """Take what lies under ``root``; ``stills`` are the labelled frames on their own.

        Clips have ``size`` (width, height), of the frames' own aspect ratio; those to train on
        are ``varied``.
        """
        self.root, self.stills, self.snippets, self.size = root, stills, snippets, size
        self.varied = varied

    def sample(self, rng: np.random.Generator) -> Labelled:
        """Return a random labelled frame, at its own size."""
        return self.stills.sample(rng)

    def labelled(self) -> list[tuple[Snippet, int]]:
        """Return each labelled frame: its snippet and its number there."""
        return [(snippet, number) for snippet in self.snippets for number in snippet.labels]

    def clip(self, rng: np.random.Generator, frames: int) -> Iterator[Labelled]:
        """Walk up to a random labelled frame; varied, mirrored or not and in random colours."""
        labelled = self.labelled()
        snippet, number = labelled[int(rng.integers(len(labelled)))]
        mirrored, colours = rng.random() < 0.5, int(rng.integers(2**32))
        for step in snippet.walk_to(number, frames):
            rgb = read_frame(snippet.frames[step], self.size)  # says what size would fit
            ids = read_truth(snippet.labels.get(step), self.size, self.stills.train_ids)
            if self.varied:
                # The same colours for every frame: light does not change from one to the next.
                rgb = recolor(rgb, np.random.default_rng(colours))
            if self.varied and mirrored:
                rgb, ids = np.ascontiguousarray(rgb[:, ::-1]), np.ascontiguousarray(ids[:, ::-1])
            yield rgb, ids


class StreetSource:
    """Procedural streets of a range of seeds."""

    SPAN = 2000  # frames of each street that are drawn from

    def __init__(self, seeds: range, size: tuple[int, int]) -> None:
        self.seeds, self.size = seeds, size

    def sample(self, rng: np.random.Generator) -> Labelled:
        """Return a random frame of a random street."""
        return next(self.clip(rng, 1))

    def clip(self, rng: np.random.Generator, frames: int) -> Iterator[Labelled]:
        """Drive along a random street from a random frame."""
        street = Street(int(rng.choice(self.seeds)), *self.size)
        first = int(rng.integers(self.SPAN))
        for index in range(first, first + frames):
            yield street.frame(index)
