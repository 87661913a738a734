"""Packets as their source holds them, made into ones that decoding can begin with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from twnet_ros.codec.bitstream import (
    HEADERS_KEPT_BYTES,
    CodecName,
    Content,
    headers_of,
    inspect_packet,
    is_complete,
)
from twnet_ros.codec.error import CodecError
from twnet_ros.codec.packet import Packet


class RawPacket(NamedTuple):
    """One access unit, as a file or a bag holds it."""

    data: bytes
    pts_ns: int  # as in Packet
    marked: bool  # whether its source calls it a key picture


def with_headers(
    codec: CodecName, packets: Iterable[RawPacket], headers: bytes = b""
) -> Iterator[Packet]:
    """Put the latest headers, at first ``headers``, in front of key pictures without their own.

    Where a packet repeats some parameter sets and not all, the others stay those before.
    What is a key picture is read from the stream; recovery points, which H.264 marks in an SEI,
    are taken from the source's mark.
    """
    for data, pts_ns, marked in packets:
        try:
            content = inspect_packet(codec, data)
        except CodecError:
            # A damaged packet is handed on as it is: its decoder says what is wrong.
            content = Content(header=False, picture=-1, key=False)
        key = content.key or (codec == "h264" and content.picture >= 0 and marked)
        own = headers_of(codec, data) if content.header else b""
        if is_complete(codec, own):
            headers = own
        else:
            if key:
                data = headers + data
            headers = headers.replace(own, b"") + own if own else headers
            if len(headers) > HEADERS_KEPT_BYTES:
                headers = own
        yield Packet(data, pts_ns, key)
