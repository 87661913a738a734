"""Labelled clips as the run time sees them: encoded, decoded, with vectors."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from twnet_ros.codec import ClipEncoder, CodedFrame, StreamDecoder
from twnet_ros.segment.picture import Picture

Beside = TypeVar("Beside")  # what comes with a picture, such as its labels


@dataclass(frozen=True)
class Coding:
    """How a clip is compressed."""

    codec: str = "mpeg4"
    gop: int = 12
    fps: float = 17.0
    bits_per_pixel: float = 0.1  # bitrate / (width * height * fps)

    @classmethod
    def random(cls, rng: np.random.Generator, gop: int) -> "Coding":
        """Draw codec and rate: 0.03 to 0.6 bit a pixel, MPEG-4 three times in four."""
        bits = float(np.exp(rng.uniform(np.log(0.03), np.log(0.6))))
        return cls("mpeg4" if rng.random() < 0.75 else "h264", gop, 17.0, bits)

    def bitrate(self, width: int, height: int) -> int:
        """Return the rate (bit/s) for a clip of so many pixels."""
        return int(self.bits_per_pixel * width * height * self.fps)


def transcode(
    frames: Iterable[tuple[Picture, Beside]], coding: Coding
) -> Iterator[tuple[CodedFrame, Beside]]:
    """Encode and decode a clip; yield coded frames, each with what its picture came with."""
    encoder: ClipEncoder | None = None
    decoder = StreamDecoder(coding.codec)
    waiting: list[Beside] = []
    for rgb, beside in frames:
        if encoder is None:
            height, width = rgb.shape[:2]
            encoder = ClipEncoder(
                coding.codec,
                width,
                height,
                gop=coding.gop,
                fps=coding.fps,
                bitrate=coding.bitrate(width, height),
            )
        waiting.append(beside)
        for packet in encoder.encode(rgb):
            for frame in decoder.decode(packet.data, packet.pts_ns):
                yield frame, waiting.pop(0)
    if encoder is not None:
        for packet in encoder.flush():
            for frame in decoder.decode(packet.data, packet.pts_ns):
                yield frame, waiting.pop(0)
        for frame in decoder.flush():
            yield frame, waiting.pop(0)
