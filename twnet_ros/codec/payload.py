"""What senders put into a message besides one access unit with start codes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import av
from av.video.codeccontext import VideoCodecContext

from twnet_ros.codec import hevc
from twnet_ros.codec.bitstream import START_CODE, CodecName
from twnet_ros.codec.limit import MOST_BYTES, MOST_UNITS

Tag = TypeVar("Tag")

_SIZE_BYTES = 4
_ANNEXB_START = b"\x00" + START_CODE
_H264_UNITS = range(1, 24)  # nal_unit_type of H.264's own; the rest are RTP's
# FFmpeg's parsers read, and copy, a little beyond what they are given.
_PADDING = bytes(64)


def annexb_payload(codec: CodecName, data: bytes) -> bytes:
    """Return a packet with start codes, whose units of H.264 or HEVC may be length-prefixed.

    Length-prefixed (ISO/IEC 14496-15, 5.3.2 with sizes of 4 bytes) is what is that to the last
    byte: no start code of 4 bytes in front, sizes that add up exactly, and in every place where
    a unit would begin a header of the codec's. Anything else comes back as it is.

    A first unit of 256 to 511 bytes has a size that looks like the start code 00 00 01. Two rules
    tell them apart: no unit holds a start code (H.264 7.4.1, H.265 7.4.2), and the first slice of
    a picture begins with a set bit (first_mb_in_slice, first_slice_segment_in_pic_flag), where a
    unit of H.264 has forbidden_zero_bit and one of HEVC's base layer has nuh_layer_id.
    """
    is_header = _IS_HEADER.get(codec)
    if is_header is None or data.startswith(_ANNEXB_START):
        return data
    starts = _unit_starts(data, is_header)
    if not starts:
        return data
    rewritten = bytearray(data)
    for start in starts:
        rewritten[start - _SIZE_BYTES : start] = _ANNEXB_START
    return bytes(rewritten)


def _is_h264_header(header: bytes) -> bool:
    return not header[0] & 0x80 and header[0] & 0x1F in _H264_UNITS


def _is_hevc_header(header: bytes) -> bool:
    """Tell whether two bytes begin a unit of the base layer (7.3.1.2)."""
    known = hevc.unit_kind(header[0]) in hevc.PREFIXES | hevc.SLICES | {hevc.SUFFIX_SEI}
    return len(header) > 1 and known and not header[0] & 1 and header[1] >> 3 == 0 < header[1]


_IS_HEADER = {"h264": _is_h264_header, "hevc": _is_hevc_header}


def _unit_starts(data: bytes, is_header: Callable[[bytes], bool]) -> list[int]:
    """Return where the units of a length-prefixed packet start, [] for any other or too many."""
    starts: list[int] = []
    start = _SIZE_BYTES
    while start < len(data):
        end = start + int.from_bytes(data[start - _SIZE_BYTES : start], "big")
        if (
            not start < end <= len(data)
            or len(starts) == MOST_UNITS
            or not is_header(data[start : min(start + 2, end)])
            or data.find(START_CODE, start, end) >= 0
        ):
            return []
        starts.append(start)
        start = end + _SIZE_BYTES
    return starts if start == len(data) + _SIZE_BYTES else []


class Assembler(Generic[Tag]):
    """Put access units together from a byte stream with start codes that was cut anywhere.

    A unit has the tag of the chunk in which its first start code begins. It comes out when the
    next unit begins, so one unit late. Bytes in which no unit ends come out as they are once they
    are more than any picture has.
    """

    def __init__(self, codec: CodecName) -> None:
        self._codec = codec
        self._parser = _parser(codec)
        self._received = self._returned = 0  # bytes of the stream
        self._chunks: deque[tuple[int, Tag]] = deque()  # where each one ends, and its tag

    @property
    def codec(self) -> CodecName:
        """The codec this assembler was made for."""
        return self._codec

    def push(self, chunk: bytes, tag: Tag) -> list[tuple[bytes, Tag]]:
        """Take the next bytes and return the access units that are complete now."""
        if not chunk:
            return []
        self._received += len(chunk)
        self._chunks.append((self._received, tag))
        padded = memoryview(chunk + _PADDING)[: len(chunk)]
        units = self._tagged(self._parser.parse(padded))
        if self._received - self._returned > MOST_BYTES:
            units += self.flush()
        return units

    def flush(self) -> list[tuple[bytes, Tag]]:
        """Return what is held back; the next chunk begins a new stream."""
        units = self._tagged(self._parser.parse(None))
        self._parser = _parser(self._codec)
        self._received = self._returned = 0
        self._chunks.clear()
        return units

    def _tagged(self, packets: list[av.Packet[Any]]) -> list[tuple[bytes, Tag]]:
        units = []
        for packet in packets:
            unit = bytes(packet)
            zeros = len(unit) - len(unit.lstrip(b"\x00"))
            # Zeros before the two of the start code may still have come with the unit before.
            start = self._returned + max(zeros - 2, 0)
            while self._chunks[0][0] <= start:
                self._chunks.popleft()
            units.append((unit, self._chunks[0][1]))
            self._returned += len(unit)
        return units


def _parser(codec: CodecName) -> VideoCodecContext:
    return av.CodecContext.create(codec, "r")
