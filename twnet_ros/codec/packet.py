"""One access unit as it is sent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Packet:
    """One self-contained access unit: Annex B (H.264) or with start codes (MPEG-4 part 2).

    A key packet carries its headers (SPS and PPS, or the video object layer) in band.
    """

    data: bytes
    pts_ns: int  # presentation time
    key: bool
