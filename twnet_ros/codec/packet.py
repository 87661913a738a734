"""One access unit as it is sent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Packet:
    """One self-contained access unit, with start codes where its codec has them.

    A key packet carries its headers (parameter sets, the video object layer) in band.
    """

    data: bytes
    pts_ns: int  # presentation time; where a file has none (AVI, raw streams), the decoding time
    key: bool
