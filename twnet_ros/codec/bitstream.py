"""What a packet holds, told from its start codes alone (H.264 Annex B, ISO/IEC 14496-2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from twnet_ros.codec import h264, mpeg4
from twnet_ros.codec.error import CodecError

CodecName = Literal["h264", "mpeg4"]
START_CODE = b"\x00\x00\x01"

_H264_PARAMETER_SETS = frozenset({7, 8, 13, 15})
# SEI, parameter sets, delimiters, filler, reserved: what may stand in front of a picture.
_H264_PREFIXES = frozenset(range(6, 19))
# Video objects and layers, sequence, user data, group of VOPs, visual object.
_MPEG4_PREFIXES = frozenset({*range(0x30), 0xB0, 0xB1, 0xB2, 0xB3, 0xB5})
# The start code and the two bytes that even a VOP without content has; FFmpeg takes shorter ones
# for pictures to be skipped.
_SHORTEST_PICTURE_BYTES = 6
# Far more than a picture of as many slices as macroblock rows; a packet of nothing else would take
# seconds to look through.
MOST_UNITS = 4096
# More than a picture of any rate has; FFmpeg takes 35 ms for a megabyte of nothing.
_MOST_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Content:
    """What stands in a packet before and at its first coded picture."""

    header: bool  # an SPS, or a video object layer
    picture: int  # offset of the first slice's or VOP's start code, -1 without one


def inspect_packet(codec: CodecName, data: bytes) -> Content:
    """
    Tell whether a packet has headers and where its picture starts.

    CodecError for a packet that is empty, too large, does not begin with a start code, or holds a
    unit that is neither a picture nor anything that may precede one.
    """
    if not data:
        raise CodecError("expected one coded picture, got an empty packet")
    if len(data) > _MOST_BYTES:
        raise CodecError(
            f"expected at most {_MOST_BYTES >> 20} MiB a packet, got {len(data)} bytes"
        )
    start = data.find(START_CODE)
    if start < 0 or data[:start].strip(b"\x00"):
        raise CodecError(
            f"expected {_NAMES[codec]} beginning with the start code 00 00 01, "
            f"got {_describe(data)} of {len(data)} bytes"
        )
    if data.endswith(START_CODE):
        raise CodecError(
            f"expected a whole packet of {_NAMES[codec]}, got {len(data)} bytes of one"
        )
    header = False
    for offset, unit in units(data):
        if codec == "h264":
            kind = unit & 0x1F
            known = not unit & 0x80 and kind in _H264_PREFIXES
            picture = not unit & 0x80 and kind in h264.SLICES
            header = header or (known and kind == h264.SPS)
        else:
            known = unit in _MPEG4_PREFIXES
            picture = unit == mpeg4.VOP
            header = header or unit in mpeg4.LAYERS
        if picture:
            if len(data) - offset < _SHORTEST_PICTURE_BYTES:
                raise CodecError(
                    f"expected a whole picture of {_NAMES[codec]}, "
                    f"got {len(data) - offset} bytes of one"
                )
            return Content(header, offset)
        if not known:
            raise CodecError(
                f"expected a picture of {_NAMES[codec]}, got a unit that starts with "
                f"00 00 01 {unit:02x} at byte {offset} of {len(data)}"
            )
    return Content(header, -1)


def is_key_picture(codec: CodecName, data: bytes, offset: int) -> bool:
    """Tell whether the picture at `offset` is an IDR (7.4.1) or an I-VOP (6.2.5)."""
    if codec == "h264":
        return data[offset + 3] & 0x1F == h264.IDR
    return len(data) > offset + 4 and data[offset + 4] >> 6 == 0


def headers_of(codec: CodecName, data: bytes) -> bytes:
    """Return the headers in front of the first picture, b'' unless an SPS or layer is there."""
    content = inspect_packet(codec, data)
    if not content.header:
        return b""
    end = content.picture if content.picture >= 0 else len(data)
    if codec == "mpeg4":
        # A group of VOPs has a time code: it belongs to its picture.
        group = data.find(START_CODE + bytes([mpeg4.GROUP]), 0, end)
        return data[:end] if group < 0 else data[:group]
    offsets = [*units(data[:end]), (end, 0)]
    kept = [
        data[start:stop]
        for (start, unit), (stop, _) in pairwise(offsets)
        if unit & 0x1F in _H264_PARAMETER_SETS
    ]
    return b"".join(kept)


def annexb_headers(extradata: bytes) -> bytes:
    """Return H.264 extradata as Annex B; an avcC record (ISO/IEC 14496-15) is unpacked."""
    if not extradata or extradata[0] != 1:
        return extradata
    headers = b""
    try:
        offset = 5
        for mask in (0x1F, 0xFF):  # the counts of SPSs and PPSs
            count = extradata[offset] & mask
            offset += 1
            for _ in range(count):
                size = int.from_bytes(extradata[offset : offset + 2], "big")
                headers += b"\x00" + START_CODE + extradata[offset + 2 : offset + 2 + size]
                offset += 2 + size
    except IndexError:
        raise CodecError(
            f"expected a whole avcC record, got {len(extradata)} bytes of extradata"
        ) from None
    return headers


def units(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the offset of each start code and the byte that follows it."""
    offset = data.find(START_CODE)
    count = 0
    while 0 <= offset < len(data) - 3:
        count += 1
        if count > MOST_UNITS:
            raise CodecError(f"expected at most {MOST_UNITS} units in a packet, got more")
        yield offset, data[offset + 3]
        offset = data.find(START_CODE, offset + 3)


def _describe(data: bytes) -> str:
    if data.startswith(b"\xff\xd8\xff"):
        return "a JPEG image"
    if data.startswith(b"\x89PNG"):
        return "a PNG image"
    return f"{data[:4].hex(' ')} …"


_NAMES = {"h264": "H.264 (Annex B)", "mpeg4": "MPEG-4 part 2"}
