"""The video and the labels of a rosbag2, as a file's packets are read."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag2 import Reader as Rosbag

from twnet_ros.bag import cdr
from twnet_ros.bag.error import BagError, refuse_uri_signs
from twnet_ros.bag.video import FFMPEG, FOXGLOVE, VIDEO_TYPES
from twnet_ros.codec import CodecError, Packet, StreamDecoder, VideoInfo, codec_of_format
from twnet_ros.codec.bitstream import CodecName
from twnet_ros.codec.completion import RawPacket, with_headers
from twnet_ros.codec.payload import annexb_payload
from twnet_ros.codec.rate import usual_rate

IMAGE = "sensor_msgs/msg/Image"
_TYPES = {kind.type_name: kind for kind in VIDEO_TYPES.values()}
_LOOKED_AT = 300  # of the packets from which a bag's rate is told
_DEFAULT_FPS = 30.0


class _Message(NamedTuple):
    """What counts of a message that carries video."""

    stamp_ns: int
    format: str
    data: bytes


def read_packets(
    path: str | os.PathLike[str], topic: str = ""
) -> tuple[VideoInfo, Generator[Packet, None, None]]:
    """Return what a bag's video is and an iterator over its packets, in the order of recording.

    It is what ``codec.read_packets`` returns of a file; ``pts_ns`` are the stamps of the messages.
    The bag is a folder with metadata.yaml or one file, .mcap or .db3; the video is on ``topic``,
    else on the only topic that has any. BagError for no or several of them, and for a bag that is
    damaged or cut; the iterator raises it, too.
    """
    path = Path(path)
    with _open(path) as bag:
        connections, codec = _choose(path, bag, topic)
        count = sum(connection.msgcount for connection in connections)
        packets = _raw(path, bag, connections, codec)
        first = list(islice(packets, _LOOKED_AT))
        width, height = _size(path, codec, chain(first, packets))
    stamps = [packet.pts_ns for packet in first]
    info = VideoInfo(
        codec,
        width,
        height,
        usual_rate(stamps, _DEFAULT_FPS),
        count or None,
        bool((np.diff(stamps) < 0).any()),
    )
    return info, _read(path, topic)


def read_labels(
    path: str | os.PathLike[str], topic: str = ""
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the stamps, in nanoseconds, and the label images (H, W) of a bag.

    They are on ``topic``, else on the only one of mono8 images that is called ``labels``.
    """
    path = Path(path)
    with _open(path) as bag:
        found = [one for one in bag.connections if one.msgtype == IMAGE]
        wanted = topic or "labels"
        named = [one for one in found if wanted in (one.topic, one.topic.rpartition("/")[2])]
        if len({one.topic for one in named}) != 1:
            raise BagError(
                f"{path}: expected labels on {topic or 'one topic that is called labels'}, got "
                f"{_listed(bag.connections)}"
            )
        for _, data in _messages(path, bag, named):
            yield _read_image(path, data)


def _read(path: Path, topic: str) -> Generator[Packet, None, None]:
    with _open(path) as bag:
        connections, codec = _choose(path, bag, topic)
        yield from with_headers(codec, _raw(path, bag, connections, codec))


@contextmanager
def _open(path: Path) -> Iterator[Rosbag]:
    if path.is_dir() and not (path / "metadata.yaml").is_file():
        raise BagError(
            f"{path}: expected a bag, got a folder without metadata.yaml (a folder of pictures "
            "becomes a video by `twnet encode`)"
        )
    if not path.exists():
        raise BagError(f"expected a bag, got {path}, which does not exist")
    if path.suffix == ".db3" or (path.is_dir() and any(path.glob("*.db3*"))):
        refuse_uri_signs(path)
    with _whole(path):
        bag = Rosbag(path)
        bag.open()
    try:
        yield bag
    finally:
        bag.close()


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Say of whatever a damaged or cut bag makes the library raise which bag it was."""
    try:
        yield
    except (BagError, CodecError):
        raise
    except Exception as error:
        # MemoryError: the size that a damaged file gives something.
        said = str(error) or type(error).__name__
        raise BagError(f"{path}: expected a whole bag, got {said}") from error


def _messages(
    path: Path, bag: Rosbag, connections: Sequence[Connection]
) -> Iterator[tuple[Connection, bytes]]:
    rest = bag.messages(connections)
    while True:
        with _whole(path):
            found = next(rest, None)
        if found is None:
            return
        connection, _, data = found
        yield connection, bytes(data)


def _choose(path: Path, bag: Rosbag, topic: str) -> tuple[list[Connection], CodecName]:
    """Return the connections of the topic that is asked for, or of the only one with video."""
    every = bag.connections
    if topic and all(connection.topic != topic for connection in every):
        raise BagError(f"{path}: expected video on {topic}, got {_listed(every)}")
    videos: dict[str, CodecName] = {}
    reasons = []
    for name in sorted({one.topic for one in every if topic in ("", one.topic)}):
        mine = [connection for connection in every if connection.topic == name]
        if any(connection.msgtype not in _TYPES for connection in mine):
            continue
        try:
            for connection in mine:
                _check_fields(connection)
            first = next(_messages(path, bag, mine), None)
            if first is None:
                reasons.append(f"{name} is empty")
            else:
                videos[name] = codec_of_format(_read_message(*first).format)
        except (BagError, CodecError) as error:
            reasons.append(f"{name}: {error}")
    if len(videos) != 1:
        if videos:
            raise BagError(
                f"{path}: expected one topic of video, got {', '.join(videos)}: name one"
            )
        known = ", ".join(_TYPES)
        got = "; ".join([_listed(every), *reasons])
        raise BagError(f"{path}: expected a topic of video ({known}), got {got}")
    ((name, codec),) = videos.items()
    return [connection for connection in every if connection.topic == name], codec


def _listed(connections: Sequence[Connection]) -> str:
    topics = sorted({f"{one.topic} ({one.msgtype})" for one in connections})
    return ", ".join(topics) or "no topics"


def _raw(
    path: Path, bag: Rosbag, connections: Sequence[Connection], codec: CodecName
) -> Iterator[RawPacket]:
    for connection, data in _messages(path, bag, connections):
        try:
            message = _read_message(connection, data)
        except BagError as error:
            raise BagError(f"{path}: {connection.topic}: {error}") from error
        found = codec_of_format(message.format)
        if found != codec:
            raise BagError(f"{path}: expected {codec} all along {connection.topic}, got {found}")
        yield RawPacket(annexb_payload(codec, message.data), message.stamp_ns, False)


def _read_message(connection: Connection, data: bytes) -> _Message:
    kind, reader = _TYPES[connection.msgtype], cdr.Reader(data)
    if kind is FOXGLOVE:
        stamp_ns, _, payload = reader.time_ns(), reader.text(), reader.octets()
        return _Message(stamp_ns, reader.text(), payload)
    stamp_ns = reader.header_ns()
    if kind is not FFMPEG:
        return _Message(stamp_ns, reader.text(), reader.octets())
    for field in ("int32", "int32"):  # width, height
        reader.number(field)
    encoding = reader.text()
    for field in ("uint64", "uint8", "bool"):  # pts, flags, is_bigendian
        reader.number(field)
    return _Message(stamp_ns, encoding, reader.octets())


def _check_fields(connection: Connection) -> None:
    """Refuse a message of the same name with other fields, where the bag tells its fields."""
    kind, text = _TYPES[connection.msgtype], connection.msgdef.data
    if not text or connection.msgdef.format is not MessageDefinitionFormat.MSG:
        return
    lines = (line.partition("#")[0].split() for line in text.partition("=====")[0].splitlines())
    # The package of a type may be left out in its definition.
    fields = [(line[0].rpartition("/")[2], line[1]) for line in lines if len(line) == 2]
    expected = [(one.rpartition("/")[2], name) for one, name in kind.fields]
    if fields[: len(expected)] != expected:
        raise BagError(
            f"expected {kind.type_name} with the fields "
            f"{', '.join(name for _, name in kind.fields)}, got "
            f"{', '.join(name for _, name in fields) or 'none'}"
        )


def _read_image(path: Path, data: bytes) -> tuple[int, NDArray[np.uint8]]:
    reader = cdr.Reader(data)
    stamp_ns = reader.header_ns()
    height, width, encoding = reader.number("uint32"), reader.number("uint32"), reader.text()
    reader.number("uint8")
    step, pixels = reader.number("uint32"), reader.octets()
    if encoding != "mono8" or step < width or len(pixels) != step * height:
        raise BagError(
            f"{path}: expected labels in mono8, got {encoding}, {width}x{height}, "
            f"{len(pixels)} bytes in rows of {step}"
        )
    rows = np.frombuffer(pixels, np.uint8).reshape(height, step)
    return stamp_ns, rows[:, :width]


def _size(path: Path, codec: CodecName, packets: Iterator[RawPacket]) -> tuple[int, int]:
    """Return width and height of the first picture that can be decoded."""
    decoder = StreamDecoder(codec)
    count, why = 0, ""
    for packet in with_headers(codec, packets):
        count += 1
        try:
            frames = decoder.decode(packet.data)
        except CodecError as error:
            why = f": {error}"
            continue
        if frames:
            return frames[0].width, frames[0].height
    try:
        frames = decoder.flush()
    except CodecError as error:
        why, frames = f": {error}", []
    if frames:
        return frames[0].width, frames[0].height
    raise BagError(f"{path}: expected a key frame, found none in {count} packets{why}")
