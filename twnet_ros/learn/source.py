"""Where labelled pictures and clips come from."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from twnet_ros.learn.animate import animate
from twnet_ros.learn.still import Stills
from twnet_ros.learn.streets import Street

Picture = NDArray[np.uint8]
Labelled = tuple[Picture, Picture]  # RGB (H, W, 3) and train ids (H, W)


class Source(Protocol):
    """A data set that both training steps can draw from."""

    def sample(self, rng: np.random.Generator) -> Labelled:
        """Return one labelled picture drawn at random."""
        ...

    def clip(self, rng: np.random.Generator) -> Iterator[Labelled]:
        """Yield the frames of a random clip, for ever."""
        ...


class StillSource:
    """Stills, and clips made from them by moving camera and objects."""

    def __init__(self, stills: Stills, movers: tuple[int, ...], size: tuple[int, int]) -> None:
        """Cut moving objects of the train ids ``movers``; clips have ``size`` (width, height)."""
        self.stills, self.movers, self.size = stills, movers, size

    def sample(self, rng: np.random.Generator) -> Labelled:
        """Return a random still."""
        return self.stills.sample(rng)

    def clip(self, rng: np.random.Generator) -> Iterator[Labelled]:
        """Animate a random still."""
        return animate(self.stills, self.movers, self.size, rng)


class StreetSource:
    """Procedural streets of a range of seeds."""

    SPAN = 2000  # frames of each street that are drawn from

    def __init__(self, seeds: range, size: tuple[int, int]) -> None:
        self.seeds, self.size = seeds, size

    def sample(self, rng: np.random.Generator) -> Labelled:
        """Return a random frame of a random street."""
        return next(self.clip(rng))

    def clip(self, rng: np.random.Generator) -> Iterator[Labelled]:
        """Drive along a random street from a random frame."""
        street = Street(int(rng.choice(self.seeds)), *self.size)
        index = int(rng.integers(self.SPAN))
        while True:
            yield street.frame(index)
            index += 1
