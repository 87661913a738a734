"""Bags, and readers of bags that share no code with the package's."""

import sqlite3
import struct
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from twnet_ros.bag import Shot, Stream, write_bag
from twnet_ros.codec import ClipEncoder, write_clip


class Seen(NamedTuple):
    """One message of a bag as an independent reader has it."""

    topic: str
    type: str
    recorded_ns: int
    message: object


@pytest.fixture(scope="session")
def pan(pan_over):
    """Make RGB frames of a camera that pans over a smooth texture by (dx, dy) px a frame."""
    return partial(pan_over, width=96, height=64, square=8, blur=6)


@pytest.fixture
def shots(pan):
    """Encode frames of a panning camera, 10 a second from a second on, with labels if asked."""

    def make(count=5, codec="h264", labels=False, camera=None, **settings):
        frames = pan(count)
        encoder = ClipEncoder(codec, 96, 64, gop=3, fps=10.0, **settings)
        made = []
        for number, rgb in enumerate(frames):
            (packet,) = encoder.encode(rgb)
            stamped = type(packet)(packet.data, 10**9 + number * 10**8, packet.key)
            truth = np.full((64, 96), number, np.uint8) if labels else None
            made.append(Shot(stamped, truth, camera))
        return made

    return make


@pytest.fixture
def bag(shots, tmp_path):
    """Write a bag; return its folder."""

    def make(kind="compressed_image", storage="mcap", codec="h264", name="drive", **settings):
        stream = Stream(kind, codec, 96, 64)
        write_bag(tmp_path / name, stream, shots(codec=codec, **settings), storage)
        return tmp_path / name

    return make


@pytest.fixture
def clip(tmp_path, pan):
    """Write a video file of a panning camera; return its path."""

    def make(count=5, name="clip.mp4", codec="h264", **settings):
        write_clip(tmp_path / name, pan(count), codec=codec, gop=3, fps=10.0, **settings)
        return tmp_path / name

    return make


@pytest.fixture
def read_mcap():
    """Read an MCAP file with the format's own library."""

    def read(path: Path):
        with path.open("rb") as file:
            reader = make_reader(file, decoder_factories=[DecoderFactory()])
            return [
                Seen(channel.topic, schema.name, message.log_time, decoded)
                for schema, channel, message, decoded in reader.iter_decoded_messages()
            ]

    return read


@pytest.fixture
def read_sqlite():
    """Read a SQLite file with the standard library; messages are their bytes."""

    def read(path: Path):
        with sqlite3.connect(path) as database:
            rows = database.execute(
                "SELECT topics.name, topics.type, messages.timestamp, messages.data FROM messages "
                "JOIN topics ON topics.id = messages.topic_id ORDER BY messages.timestamp"
            ).fetchall()
        return [Seen(*row) for row in rows]

    return read


@pytest.fixture
def compressed_image_cdr():
    """Write a sensor_msgs/CompressedImage as the CDR rules say, little endian."""

    def make(stamp_ns, frame_id, format, data):
        raw = struct.pack("<iI", *divmod(stamp_ns, 10**9))
        for value in (frame_id.encode() + b"\0", format.encode() + b"\0", data):
            raw += bytes(-len(raw) % 4) + struct.pack("<I", len(value)) + value
        return b"\x00\x01\x00\x00" + raw

    return make


@pytest.fixture
def rises():
    """Tell whether numbers rise."""
    return lambda numbers: all(a < b for a, b in pairwise(numbers))
