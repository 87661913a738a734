"""What the headers of a packet tell about its picture that FFmpeg does not."""

from __future__ import annotations

from dataclasses import dataclass

from twnet_ros.codec.frame import FrameKind


@dataclass(frozen=True, slots=True)
class Traits:
    """What is known of a picture before it is decoded; by default no more than FFmpeg says."""

    # P for a B picture that no picture shown later was decoded before; None: as FFmpeg says.
    kind: FrameKind | None = None
    # Nothing that it needs is missing.
    whole: bool = False
    # FFmpeg's vectors point to the pictures that they are taken to point to.
    motion: bool = True
    # A recovery point came with it.
    announces: bool = False
    # It is the second field of the last packet's picture.
    second: bool = False
