"""What a stream may ask for."""

from __future__ import annotations

from dataclasses import dataclass

MOST_PIXELS = 8192 * 8192
# More than a picture of any rate has; FFmpeg takes 35 ms for a megabyte of nothing.
MOST_BYTES = 1 << 24
# Far more than a picture of as many slices as macroblock rows; a packet of nothing else would take
# seconds to look through.
MOST_UNITS = 4096


@dataclass(frozen=True, slots=True)
class Limit:
    """Bounds within the ones above; a packet beyond them is refused before it is decoded."""

    pixels: int = MOST_PIXELS  # of a picture as it is decoded, in whole blocks of up to 64x64
    packet_bytes: int = MOST_BYTES


NO_FURTHER_LIMIT = Limit()
