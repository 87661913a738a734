"""What the units of HEVC are (ITU-T H.265 clause 7.4.2.2)."""

from __future__ import annotations

SPS = 33
PARAMETER_SETS = frozenset({32, SPS, 34})
SLICES = frozenset({*range(10), *range(16, 22)})
IDR_SLICES = frozenset({19, 20})  # with nothing that counts them
# Intra random access points: decoding can begin with them.
KEY_SLICES = frozenset(range(16, 22))
SUFFIX_SEI = 40
# Parameter sets, delimiter, end of sequence, filler, SEI, reserved and unspecified: what may stand
# in front of a picture.
PREFIXES = frozenset({*range(32, 40), *range(41, 45), *range(48, 56)})


def unit_kind(byte: int) -> int:
    """Return nal_unit_type from the byte after a start code, -1 if that is no unit's first."""
    return -1 if byte & 0x80 else byte >> 1
