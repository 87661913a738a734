"""The open bitstream units of AV1 (AV1 bitstream specification, clauses 5.3 to 5.9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from twnet_ros.codec.error import CodecError
from twnet_ros.codec.limit import MOST_UNITS

SEQUENCE_HEADER = 1
FRAMES = frozenset({3, 6})  # a frame header, or a whole frame
_DELIMITER = 2
_RESERVED = frozenset({0, *range(9, 15)})
_PREFIXES = frozenset({SEQUENCE_HEADER, _DELIMITER, 5, 15, *_RESERVED})  # metadata, padding
_MOST_SIZE_BYTES = 8  # of leb128()


@dataclass(frozen=True, slots=True)
class Unit:
    """One open bitstream unit."""

    kind: int  # obu_type
    offset: int  # of its header
    start: int  # of its payload
    end: int
    layer: int  # temporal_id and spatial_id as they stand: 5 bits


def units(data: bytes) -> Iterator[Unit]:
    """Yield the units of a temporal unit up to its first frame; CodecError for anything else."""
    for unit in all_units(data):
        if unit.kind not in _PREFIXES | FRAMES:
            raise _unexpected(data, unit.offset)
        yield unit
        if unit.kind in FRAMES:
            return


def all_units(data: bytes) -> Iterator[Unit]:
    """Yield the units of a packet; CodecError where there is none, or only a part of one."""
    offset = count = 0
    while offset < len(data):
        header = data[offset]
        count += 1
        if header & 0x80 or count > MOST_UNITS:
            raise _unexpected(data, offset)
        extended = bool(header & 4)  # obu_extension_flag
        start = offset + (2 if extended else 1)
        size = len(data) - start
        if header & 2:  # obu_has_size_field
            size, start = _read_size(data, start)
        if start + size > len(data) or size < 0:
            raise CodecError(
                f"expected a whole unit of AV1 at byte {offset}, got {len(data)} bytes in all"
            )
        layer = data[offset + 1] >> 3 if extended else 0
        yield Unit(header >> 3 & 15, offset, start, start + size, layer)
        offset = start + size


def is_shown_key_frame(data: bytes, unit: Unit) -> bool:
    """Tell whether a frame is a key frame that is shown at once (5.9.2); it refreshes all."""
    first = data[unit.start] if unit.start < unit.end else 0xFF
    show_existing, frame_type, show = first >> 7, first >> 5 & 3, first >> 4 & 1
    return not show_existing and frame_type == 0 and bool(show)


def _read_size(data: bytes, offset: int) -> tuple[int, int]:
    """Read leb128() (4.10.5); return the value and where it ends."""
    value = 0
    for place, byte in enumerate(data[offset : offset + _MOST_SIZE_BYTES]):
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return value, offset + place + 1
    raise CodecError(f"expected the size of a unit of AV1 at byte {offset}, got none")


def _unexpected(data: bytes, offset: int) -> CodecError:
    return CodecError(
        f"expected units of AV1, got one that starts with {data[offset]:02x} at byte {offset} "
        f"of {len(data)}"
    )
