"""Making clips: RGB frames in, self-contained packets or a whole file out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from twnet_ros.codec.error import CodecError
from twnet_ros.codec.packet import Packet
from twnet_ros.codec.rate import LEAST_FPS, MOST_FPS, NTSC

CONTAINERS = {".mp4": "mp4", ".avi": "avi", ".mkv": "matroska"}

_ENCODERS = {"h264": "libx264", "mpeg4": "mpeg4"}
_MPEG4_BITS_PER_PIXEL = 0.2
_H264_CRF = 20.0
_MPEG4_TOLERANCE = 4_000_000  # bits; FFmpeg's default, which PyAV narrows for files only
_LONGEST_GOP = {"mpeg4": 600, "h264": 1 << 30}  # FFmpeg shortens longer ones; x264's infinity
_SMPTE170M = 6  # BT.601 matrix, in an H.264 VUI
_LIMITED_RANGE = 1


class ClipEncoder:
    """Encode RGB frames, one reference, no B-frames, an I-frame exactly every ``gop`` frames.

    MPEG-4 Simple Profile takes ``bitrate`` (bit/s; 0.2 bit a pixel when not given); H.264 takes
    ``bitrate`` or ``crf`` (20 when neither is given), never both. The picture is BT.601 limited
    range, 4:2:0, so width and height must be even. Every frame gives its packet at once.
    """

    def __init__(
        self,
        codec: str,
        width: int,
        height: int,
        *,
        gop: int = 12,
        fps: float = 17.0,
        bitrate: float | None = None,
        crf: float | None = None,
    ) -> None:
        rate = _check(codec, width, height, gop, fps, bitrate, crf)
        self._context = cast(VideoCodecContext, av.CodecContext.create(_ENCODERS[codec], "w"))
        _configure(self._context, codec, width, height, gop, rate, bitrate, crf)
        self._frames = _FrameSource(width, height, rate)
        self._rate = rate

    def encode(self, rgb: npt.NDArray[np.uint8]) -> list[Packet]:
        """Encode one (H, W, 3) uint8 frame; CodecError for another shape or type, or too large."""
        return self._encode(self._frames.convert(rgb))

    def flush(self) -> list[Packet]:
        """Return what the encoder still holds; it takes no frame afterwards."""
        return self._encode(None)

    def _encode(self, picture: VideoFrame | None) -> list[Packet]:
        try:
            packets = self._context.encode(picture)
        except av.FFmpegError as error:
            size = f"{self._context.width}x{self._context.height}"
            raise CodecError(f"cannot encode {size} px: {error.strerror}") from error
        return [
            Packet(
                data=bytes(packet),
                pts_ns=round(Fraction(packet.pts or 0) / self._rate * 10**9),
                key=packet.is_keyframe,
            )
            for packet in packets
        ]


def refuse_target(path: Path, *others: str) -> None:
    """Raise CodecError for a file that ``write_clip`` cannot write; ``others`` end one, too."""
    endings = (*CONTAINERS, *others)
    if path.suffix.lower() not in endings:
        raise CodecError(f"expected a file name ending in {', '.join(endings)}, got {path.name!r}")
    if path.is_dir():
        raise CodecError(f"expected a file to write, got {path}, which is a folder")
    if not path.parent.is_dir():
        raise CodecError(f"expected an existing directory for {path}, got none")


def write_clip(
    path: str | os.PathLike[str],
    frames: Iterable[npt.NDArray[np.uint8]],
    *,
    codec: str,
    gop: int = 12,
    fps: float = 17.0,
    bitrate: float | None = None,
    crf: float | None = None,
) -> None:
    """Encode (H, W, 3) uint8 frames into an .mp4, .avi or .mkv file, settings as in ClipEncoder.

    The file appears whole or, when anything fails or is interrupted, not at all.
    """
    path = Path(path)
    refuse_target(path)
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise CodecError(f"expected at least one frame for {path}, got none")
    if first.ndim != 3:
        raise CodecError(f"expected frames (H, W, 3), got {first.shape}")
    height, width = first.shape[:2]
    rate = _check(codec, width, height, gop, fps, bitrate, crf)
    source = _FrameSource(width, height, rate)
    # In the same directory, so that the last step is a rename.
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        # By its whole path: FFmpeg takes what stands before a colon for a protocol.
        whole, kind = str(partial.absolute()), CONTAINERS[path.suffix.lower()]
        with av.open(whole, "w", format=kind) as container:
            stream = container.add_stream(_ENCODERS[codec], rate=rate)
            context: VideoCodecContext = stream.codec_context
            _configure(context, codec, width, height, gop, rate, bitrate, crf)
            for picture in _then_none(source, chain([first], rest)):
                container.mux(context.encode(picture))
        partial.replace(path)
    except av.FFmpegError as error:
        raise CodecError(f"cannot write {path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


class _FrameSource:
    """Checks RGB frames and turns them into the encoder's pictures, one tick apart."""

    def __init__(self, width: int, height: int, rate: Fraction) -> None:
        self._shape = (height, width, 3)
        self._time_base = 1 / rate
        self._count = 0
        self._reformatter = VideoReformatter()

    def convert(self, rgb: npt.NDArray[np.uint8]) -> VideoFrame:
        if rgb.shape != self._shape or rgb.dtype != np.uint8:
            raise CodecError(
                f"expected frames {self._shape} uint8, got {rgb.shape} {rgb.dtype} in frame "
                f"{self._count}"
            )
        picture = self._reformatter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        picture.pts = self._count
        picture.time_base = self._time_base
        self._count += 1
        return picture


def _then_none(
    source: _FrameSource, frames: Iterable[npt.NDArray[np.uint8]]
) -> Iterator[VideoFrame | None]:
    for rgb in frames:
        yield source.convert(rgb)
    yield None  # drains the encoder


def _check(
    codec: str,
    width: int,
    height: int,
    gop: int,
    fps: float,
    bitrate: float | None,
    crf: float | None,
) -> Fraction:
    """Refuse what cannot be encoded as asked; return the frame rate as a fraction."""
    if codec not in _ENCODERS:
        raise CodecError(f"expected codec {' or '.join(map(repr, _ENCODERS))}, got {codec!r}")
    if width < 2 or height < 2 or width % 2 or height % 2:
        raise CodecError(f"expected an even width and height (4:2:0), got {width}x{height}")
    if not 1 <= gop <= _LONGEST_GOP[codec]:
        raise CodecError(f"expected a gop from 1 up to {_LONGEST_GOP[codec]}, got {gop}")
    if not LEAST_FPS <= fps <= MOST_FPS:
        raise CodecError(f"expected a frame rate from 1/{NTSC} to {MOST_FPS}, got {fps}")
    if bitrate is not None and crf is not None:
        raise CodecError(f"expected one of bitrate and crf, got {bitrate} and {crf}")
    if bitrate is not None and not 1 <= bitrate < 2**31:
        raise CodecError(f"expected a bitrate in bit/s, got {bitrate}")
    if crf is not None and codec == "mpeg4":
        raise CodecError(f"expected a bitrate for 'mpeg4', got crf {crf}, which only 'h264' has")
    if crf is not None and not 0 < crf <= 51:
        raise CodecError(f"expected a crf above 0 and up to 51, got {crf}")
    # Of high rates MPEG-4's clock leaves a smaller denominator.
    return Fraction(fps).limit_denominator(min(NTSC, int(MOST_FPS / fps)))


def _configure(
    context: VideoCodecContext,
    codec: str,
    width: int,
    height: int,
    gop: int,
    rate: Fraction,
    bitrate: float | None,
    crf: float | None,
) -> None:
    context.width, context.height = width, height
    context.pix_fmt = "yuv420p"
    context.framerate = rate
    context.time_base = 1 / rate
    context.gop_size = gop
    context.max_b_frames = 0
    context.thread_count = 1
    context.color_range = _LIMITED_RANGE
    if codec == "mpeg4":
        if bitrate is None:
            bitrate = _MPEG4_BITS_PER_PIXEL * width * height * float(rate)
        context.bit_rate = round(bitrate)
        context.bit_rate_tolerance = _MPEG4_TOLERANCE
        # An I-frame where the scene changes would break the fixed GOP.
        context.options = {"sc_threshold": "1000000000"}
        return
    context.colorspace = _SMPTE170M
    options = {
        "preset": "veryfast",
        "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:ref=1:weightp=0"
        ":rc-lookahead=0:sync-lookahead=0:mbtree=0:force-cfr=1",  # no packet is held back
    }
    if bitrate is None:
        options["crf"] = str(_H264_CRF if crf is None else crf)
    else:
        context.bit_rate = round(bitrate)
    context.options = options
