"""What a packet's headers tell about the packets before it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Discontinuity:
    """A packet that does not follow the one before, and what to do about it."""

    reason: str  # what was expected and what came
    breaks: bool = False  # pictures from here to the next key picture may refer to what is missing
    superfluous: bool = False  # the packet brings nothing that is needed: it is to be left out


def worst(found: list[Discontinuity], pictures: int) -> Discontinuity | None:
    """Return what decides over a packet, maybe of two fields; none of them is left out alone."""
    if not found:
        return None
    first = next((gap for gap in found if gap.breaks), found[0])
    if first.superfluous and pictures > 1:
        return Discontinuity(first.reason, breaks=True)
    return first
