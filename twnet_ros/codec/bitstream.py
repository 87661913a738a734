"""What a packet holds, told from the heads of its units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from twnet_ros.codec import av1, h264, hevc, mpeg4, vp9
from twnet_ros.codec.error import CodecError
from twnet_ros.codec.limit import MOST_BYTES, MOST_UNITS

CodecName = Literal["h264", "mpeg4", "hevc", "vp9", "av1"]
NAMES: dict[CodecName, str] = {
    "h264": "H.264",
    "mpeg4": "MPEG-4 part 2",
    "hevc": "HEVC",
    "vp9": "VP9",
    "av1": "AV1",
}
START_CODE = b"\x00\x00\x01"
WITHOUT_START_CODES = ("vp9", "av1")
HEADERS_KEPT_BYTES = 1 << 16  # of those that wait for their picture

_H264_PARAMETER_SETS = frozenset({7, 8, 13, 15})
# SEI, parameter sets, delimiters, filler, reserved: what may stand in front of a picture.
_H264_PREFIXES = frozenset(range(6, 19))
# Video objects and layers, sequence, user data, group of VOPs, visual object.
_MPEG4_PREFIXES = frozenset({*range(0x30), 0xB0, 0xB1, 0xB2, 0xB3, 0xB5})
# The start code and the two bytes that even a VOP without content has; FFmpeg takes shorter ones
# for pictures to be skipped.
_SHORTEST_PICTURE_BYTES = 6
# How the records begin that containers have instead of headers: their versions.
_RECORDS = {"h264": (1,), "hevc": (1,), "av1": (0x81,)}
_AV1C_BYTES = 4


@dataclass(frozen=True, slots=True)
class Content:
    """What stands in a packet before and at its first coded picture."""

    header: bool  # an SPS, a video object layer, or a sequence header; VP9 has none
    picture: int  # offset of the first slice, VOP or frame, start code included; -1 without one
    # It is an IDR picture (H.264 7.4.1), an I-VOP (ISO/IEC 14496-2 6.2.5), a random access point
    # of HEVC, or a key frame that is shown: decoding can begin with it.
    key: bool


def inspect_packet(codec: CodecName, data: bytes, most_bytes: int = MOST_BYTES) -> Content:
    """Tell whether a packet has headers, where its picture starts, and whether it is a key.

    CodecError for a packet that is empty, too large, of another codec, or holds a unit that is
    neither a picture nor anything that may precede one.
    """
    if not data:
        raise CodecError("expected one coded picture, got an empty packet")
    if len(data) > most_bytes:
        raise CodecError(f"expected at most {most_bytes} bytes a packet, got {len(data)}")
    if codec == "vp9":
        return Content(header=False, picture=0, key=vp9.begins_with_key_frame(data))
    if codec == "av1":
        return _inspect_av1(data)
    return _inspect_start_codes(codec, data)


def _inspect_av1(data: bytes) -> Content:
    header = False
    for unit in av1.units(data):
        header = header or unit.kind == av1.SEQUENCE_HEADER
        if unit.kind in av1.FRAMES:
            return Content(header, unit.offset, av1.is_shown_key_frame(data, unit))
    return Content(header, -1, key=False)


def _inspect_start_codes(codec: CodecName, data: bytes) -> Content:
    start = data.find(START_CODE)
    if start < 0 or data[:start].strip(b"\x00"):
        raise CodecError(
            f"expected {NAMES[codec]} beginning with the start code 00 00 01, "
            f"got {_describe(data)} of {len(data)} bytes"
        )
    if data.endswith(START_CODE):
        raise CodecError(
            f"expected a whole packet of {NAMES[codec]}, got {len(data)} bytes of one"
        )
    header = False
    for offset, unit in units(data):
        if codec == "h264":
            kind = unit & 0x1F
            known = not unit & 0x80 and kind in _H264_PREFIXES
            picture = not unit & 0x80 and kind in h264.SLICES
            header = header or (known and kind == h264.SPS)
        elif codec == "hevc":
            kind = hevc.unit_kind(unit)
            known = kind in hevc.PREFIXES
            picture = kind in hevc.SLICES
            header = header or kind == hevc.SPS
        else:
            known = unit in _MPEG4_PREFIXES
            picture = unit == mpeg4.VOP
            header = header or unit in mpeg4.LAYERS
        if picture:
            if len(data) - offset < _SHORTEST_PICTURE_BYTES:
                raise CodecError(
                    f"expected a whole picture of {NAMES[codec]}, "
                    f"got {len(data) - offset} bytes of one"
                )
            return Content(header, offset, _is_key_picture(codec, data, offset))
        if not known:
            raise CodecError(
                f"expected a picture of {NAMES[codec]}, got a unit that starts with "
                f"00 00 01 {unit:02x} at byte {offset} of {len(data)}"
            )
    return Content(header, -1, key=False)


def _is_key_picture(codec: CodecName, data: bytes, offset: int) -> bool:
    unit = data[offset + 3]
    if codec == "h264":
        return unit & 0x1F == h264.IDR
    if codec == "hevc":
        return hevc.unit_kind(unit) in hevc.KEY_SLICES
    return data[offset + 4] >> 6 == 0


def headers_of(codec: CodecName, data: bytes) -> bytes:
    """Return the headers in front of the first picture, b'' unless ``Content.header``."""
    content = inspect_packet(codec, data)
    if not content.header:
        return b""
    end = content.picture if content.picture >= 0 else len(data)
    if codec == "mpeg4":
        # A group of VOPs has a time code: it belongs to its picture.
        group = data.find(START_CODE + bytes([mpeg4.GROUP]), 0, end)
        return data[:end] if group < 0 else data[:group]
    if codec == "av1":
        kept = [u for u in av1.units(data[:end]) if u.kind == av1.SEQUENCE_HEADER]
        return b"".join(data[unit.offset : unit.end] for unit in kept)
    return parameter_sets(codec, data[:end])


def parameter_sets(codec: CodecName, data: bytes) -> bytes:
    """Return the parameter sets of H.264 or HEVC alone; of other codecs all of the data."""
    if codec not in ("h264", "hevc"):
        return data
    offsets = [*units(data), (len(data), 0)]
    sets = [
        data[start:stop]
        for (start, unit), (stop, _) in pairwise(offsets)
        if _is_parameter_set(codec, unit)
    ]
    return b"".join(sets)


def is_complete(codec: CodecName, headers: bytes) -> bool:
    """Tell whether headers are all that decoding begins with, and do without others before."""
    if codec == "hevc":
        return {hevc.unit_kind(unit) for _, unit in units(headers)} >= hevc.PARAMETER_SETS
    if codec == "h264":
        return {h264.SPS, h264.PPS} <= {unit & 0x1F for _, unit in units(headers)}
    return bool(headers)


def _is_parameter_set(codec: CodecName, unit: int) -> bool:
    if codec == "hevc":
        return hevc.unit_kind(unit) in hevc.PARAMETER_SETS
    return unit & 0x1F in _H264_PARAMETER_SETS


def stream_headers(codec: CodecName, extradata: bytes) -> bytes:
    """Return the headers that a container has of a stream, as they stand in its packets.

    H.264's avcC record (ISO/IEC 14496-15) and AV1's av1C are unpacked; of HEVC's hvcC nothing is
    taken, as FFmpeg puts what it has into the packets.
    """
    record = bool(extradata) and extradata[0] in _RECORDS.get(codec, ())
    if codec == "h264" and record:
        return _unpack_avcc(extradata)
    if codec == "av1" and record:
        return extradata[_AV1C_BYTES:]
    return b"" if record or codec == "vp9" else extradata


def _unpack_avcc(extradata: bytes) -> bytes:
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
