"""Streams to start from, and how they were made.

``python test/fuzz/sample.py`` encodes the seeds of the corpus anew. A file holds steps: a letter,
a size of four bytes and as many bytes. ``P`` is a packet, ``C`` a chunk of a byte stream, ``L``
headers of packets that were lost, ``S`` stands for packets of a sound stream.
"""

import struct
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CORPUS = Path(__file__).parent / "corpus"
CODECS = ("h264", "mpeg4")
PACKET, CHUNK, LOST, SOUND = "PCLS"

Step = tuple[str, bytes]

_X264 = "scenecut=0:rc-lookahead=0:sync-lookahead=0:force-cfr=1:crf=32"
_QUANTISER = "global_quality=2400 flags=+qscale"
# Encoder, options, B-frames, size, frames a GOP, pixel format.
SEEDS = {
    "h264_plain": ("libx264", f"x264-params={_X264}:bframes=0:ref=1:weightp=0", 0, (48, 32), 6),
    "h264_cavlc": ("libx264", "profile=baseline tune=zerolatency crf=34", 0, (48, 32), 4),
    "h264_slices": ("libx264", "tune=zerolatency slices=3 crf=34", 0, (64, 48), 4),
    "h264_between": ("libx264", f"x264-params={_X264}:bframes=3:b-pyramid=normal", 3, (48, 32), 8),
    "h264_weighted": (
        "libx264",
        f"x264-params={_X264}:bframes=2:ref=4:weightp=2:weightb=1:nal-hrd=vbr:vbv-maxrate=90"
        ":vbv-bufsize=90:aud=1:open-gop=1",
        2,
        (48, 32),
        8,
    ),
    "h264_fields": ("libx264", f"x264-params={_X264}:interlaced=1:bframes=1", 1, (48, 64), 6),
    "h264_refresh": ("libx264", f"x264-params={_X264}:intra-refresh=1:bframes=0", 0, (64, 32), 6),
    "h264_444": ("libx264", f"x264-params={_X264}:bframes=0", 0, (34, 18), 4, "yuv444p"),
    "h264_422_10": ("libx264", f"x264-params={_X264}:bframes=0", 0, (34, 18), 4, "yuv422p10le"),
    "h264_gray": ("libx264", f"x264-params={_X264}:bframes=0", 0, (34, 18), 4, "gray"),
    "h264_lossless": ("libx264", f"x264-params={_X264}:qp=0:bframes=0", 0, (34, 18), 3),
    "mpeg4_plain": ("mpeg4", _QUANTISER, 0, (48, 32), 6),
    "mpeg4_between": ("mpeg4", _QUANTISER, 2, (48, 32), 7),
    "mpeg4_quarter": ("mpeg4", f"{_QUANTISER}+qpel+mv4+aic", 0, (48, 32), 5),
    "mpeg4_fields": ("mpeg4", f"alternate_scan=1 {_QUANTISER}+ilme+ildct", 1, (48, 64), 5),
    "mpeg4_partitions": ("mpeg4", f"data_partitioning=1 ps=100 {_QUANTISER}", 0, (48, 32), 5),
    "mpeg4_matrix": ("mpeg4", f"mpeg_quant=1 {_QUANTISER}", 0, (34, 18), 4),
}
# The sound stream of each codec; no packet of it is ever a donor.
SOUND_STREAMS = {
    "h264": ("libx264", f"x264-params={_X264}:bframes=0:ref=1:weightp=0", 0, (48, 32), 12),
    "mpeg4": ("mpeg4", _QUANTISER, 0, (48, 32), 12),
}


def codec_of(path: Path) -> str:
    """Return the codec by which a file's name begins."""
    return path.name.split("_")[0]


def read_steps(data: bytes) -> list[Step]:
    """Read steps; what is no step at the end is left out."""
    steps, at = [], 0
    while at + 5 <= len(data):
        kind, size = struct.unpack_from(">cI", data, at)
        steps.append((kind.decode("latin-1"), data[at + 5 : at + 5 + size]))
        at += 5 + size
    return steps


def write_steps(steps: list[Step]) -> bytes:
    """Write steps as they stand in a file."""
    return b"".join(struct.pack(">cI", k.encode("latin-1"), len(d)) + d for k, d in steps)


def load(path: Path) -> list[Step]:
    """Read the steps of a file."""
    return read_steps(path.read_bytes())


def save(path: Path, steps: list[Step]) -> None:
    """Write the steps of a file."""
    path.write_bytes(write_steps(steps))


def encode(
    encoder: str,
    options: str,
    between: int,
    size: tuple[int, int],
    gop: int,
    pixels: str = "yuv420p",
    *,
    count: int,
    seed: int,
) -> list[bytes]:
    """Encode a pan over random squares."""
    context = av.CodecContext.create(encoder, "w")
    context.width, context.height = size
    context.pix_fmt, context.thread_count = pixels, 1
    context.framerate, context.time_base = Fraction(17), Fraction(1, 17)
    context.gop_size, context.max_b_frames = gop, between
    context.options = dict(option.split("=", 1) for option in options.split(" ") if option)
    world = np.random.default_rng(seed).integers(90, 166, (24, 24, 3)).astype(np.uint8)
    world = world.repeat(8, 0).repeat(8, 1)
    packets = []
    for n in range(count):
        shown = np.ascontiguousarray(world[n : n + size[1], 3 * n % 90 :][:, : size[0]])
        packets += context.encode(av.VideoFrame.from_ndarray(shown, format="rgb24"))
    return [bytes(packet) for packet in packets + context.encode(None)]


def without_settings(packet: bytes) -> bytes:
    """Drop x264's list of its settings, which is longer than the picture."""
    at = packet.find(b"\x00\x00\x01\x06\x05")
    if at < 0:
        return packet
    end = packet.find(b"\x00\x00\x01", at + 3)
    return packet[:at] + packet[end:]


def main() -> None:
    """Write all seeds."""
    CORPUS.mkdir(exist_ok=True)
    for name, settings in SEEDS.items():
        gop = settings[4]
        packets = encode(*settings, count=2 * gop if gop < 5 else gop + 2, seed=len(name))
        steps = [(PACKET, without_settings(packet)) for packet in packets]
        save(CORPUS / f"{name}.steps", steps)
        print(name, len(steps), sum(len(data) for _, data in steps), file=sys.stderr)


if __name__ == "__main__":
    main()
