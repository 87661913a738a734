"""Reading a video file as self-contained packets, coded data unchanged."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, cast

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.video.stream import VideoStream

from twnet_ros.codec.bitstream import NAMES, CodecName, stream_headers
from twnet_ros.codec.completion import RawPacket, with_headers
from twnet_ros.codec.error import CodecError
from twnet_ros.codec.packet import Packet
from twnet_ros.codec.rate import usual_rate

_LOOKED_AT = 100  # of the packets from which the rate is told
_FILTERS: dict[str, str] = {
    "h264": "h264_mp4toannexb",
    "mpeg4": "mpeg4_unpack_bframes",
    "hevc": "hevc_mp4toannexb",
    "vp9": "null",
    "av1": "null",
}


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a file, or a bag, says about its video stream."""

    codec: CodecName
    width: int  # px
    height: int  # px
    fps: float  # as the times of its first packets have it
    frames: int | None  # None where the container does not count them
    reorders: bool  # B-frames may make a picture wait for later packets
    pixel_aspect: float = 1.0  # a pixel's width over its height, where the container says so


# Opens a video by its path: ``read_packets``, or what reads another kind of file as that does.
OpenVideo = Callable[[str | os.PathLike[str]], tuple[VideoInfo, Generator[Packet, None, None]]]


def read_packets(
    path: str | os.PathLike[str],
) -> tuple[VideoInfo, Generator[Packet, None, None]]:
    """Return what a file holds and an iterator over its packets, in decoding order.

    H.264 and HEVC come as Annex B, MPEG-4 with its start codes (packed B-frames unpacked); headers
    stand in front of every key picture, and the coded data is unchanged. ``pts_ns`` is the
    container's own presentation time; where there is none (AVI, raw streams) its decoding time,
    which with B-frames (``VideoInfo.reorders``) is another, and where there is neither it is
    counted from 0 at the file's frame rate. The file is closed when the iterator is exhausted or
    closed.

    CodecError for a missing file, no video stream, another codec, or pictures that are to be
    turned to be shown; the iterator raises it for a file that cannot be read on.
    """
    path = Path(path)
    if degrees := _rotation(path):
        raise CodecError(
            f"expected a video that is stored upright, got one to be turned by {degrees} degrees "
            f"in {path}: ffmpeg -i turns it"
        )
    container, stream, codec = _open(path)
    with container:
        rate = Fraction(stream.guessed_rate or stream.average_rate or 0)
        if not rate:
            raise CodecError(f"expected a video with a frame rate, got none in {path}")
        times_ns: list[int] = []
        with suppress(av.FFmpegError):  # the iterator tells of it
            first = islice(_timed(container, stream, codec, rate), _LOOKED_AT)
            times_ns.extend(packet.pts_ns for packet in first)
        info = VideoInfo(
            codec,
            stream.width,
            stream.height,
            # What FFmpeg guesses of a variable rate may be the clock's.
            usual_rate(times_ns, float(rate)),
            stream.frames or None,
            stream.codec_context.has_b_frames,
            float(stream.sample_aspect_ratio or 1),
        )
    return info, _read(path, rate)


def _rotation(path: Path) -> int:
    """Return by how many degrees a player turns the pictures, as of the first one; 0 without."""
    container, stream, _ = _open(path)
    with container, suppress(av.FFmpegError):
        for packet in islice(container.demux(stream), _LOOKED_AT):
            for picture in packet.decode():
                return picture.rotation
    return 0


def _read(path: Path, rate: Fraction) -> Generator[Packet, None, None]:
    container, stream, codec = _open(path)
    with container:
        headers = stream_headers(codec, stream.codec_context.extradata or b"")
        try:
            yield from with_headers(codec, _timed(container, stream, codec, rate), headers)
        except av.FFmpegError as error:
            raise CodecError(f"expected a whole video file, got {path}: {error}") from error


def _timed(
    container: InputContainer, stream: VideoStream, codec: CodecName, rate: Fraction
) -> Iterator[RawPacket]:
    for count, packet in enumerate(_filtered(container, stream, codec)):
        # AVI has no presentation times: FFmpeg makes them up, H.264's a frame late.
        timed = packet.pts is not None and container.format.name != "avi"
        ticks = packet.pts if timed else packet.dts
        seconds = count / rate if ticks is None else ticks * packet.time_base
        yield RawPacket(bytes(packet), round(seconds * 10**9), packet.is_keyframe)


def _filtered(
    container: InputContainer, stream: VideoStream, codec: CodecName
) -> Iterator[av.Packet[Any]]:
    rewrite = BitStreamFilterContext(_FILTERS[codec], stream)
    for packet in container.demux(stream):
        if packet.size:  # there may be empty ones, where a camera dropped a picture
            yield from rewrite.filter(packet)
    yield from rewrite.filter(None)


def _open(path: Path) -> tuple[InputContainer, VideoStream, CodecName]:
    if not path.is_file():
        fault = "is a folder" if path.is_dir() else "does not exist"
        raise CodecError(f"expected a video file, got {path}, which {fault}")
    try:
        # A title in another encoding than UTF-8 is none of a decoder's business.
        # By its whole path: FFmpeg takes what stands before a colon for a protocol.
        container = av.open(str(path.absolute()), "r", metadata_errors="replace")
    except av.FFmpegError as error:
        raise CodecError(f"expected a video file, got {path}: {error.strerror}") from error
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        container.close()
        raise CodecError(f"expected a video stream, got none in {path}")
    context = stream.codec_context
    name = context.codec.canonical_name if context else "an unknown codec"
    if name not in _FILTERS:
        container.close()
        raise CodecError(f"expected {', '.join(NAMES.values())} video, got {name} in {path}")
    return container, stream, cast(CodecName, name)
