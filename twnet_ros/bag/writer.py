"""Packets, labels and camera calibrations into a rosbag2."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from twnet_ros.bag.camera import Camera
from twnet_ros.bag.error import BagError, refuse_uri_signs
from twnet_ros.bag.video import FFMPEG, FOXGLOVE, VIDEO_TYPES, VideoType
from twnet_ros.codec import Packet
from twnet_ros.codec.bitstream import NAMES, CodecName

STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
DEPTH = 100
_VERSION: Literal[9] = 9  # of the bag format; Jazzy's and later
_TOPIC = re.compile(r"(/[A-Za-z_][A-Za-z0-9_]*)+")
_SECOND_NS = 1_000_000_000
_LATEST_S = 2**31 - 1  # of builtin_interfaces/Time
_FOREVER = QosTime(9_223_372_036, 854_775_807)
# What a camera's driver offers, so that every subscription to video matches and nothing is lost.
_RELIABLE = Qos(
    QosHistory.KEEP_LAST,
    DEPTH,
    QosReliability.RELIABLE,
    QosDurability.VOLATILE,
    _FOREVER,
    _FOREVER,
    QosLiveliness.AUTOMATIC,
    _FOREVER,
    avoid_ros_namespace_conventions=False,
)

TYPES = get_typestore(Stores.ROS2_JAZZY)
for _kind in (FFMPEG, FOXGLOVE):
    TYPES.register(get_types_from_msg(_kind.definition, _kind.type_name))


@dataclass(frozen=True)
class Shot:
    """What a bag holds of one frame; the packet's time is the stamp of all of it."""

    packet: Packet
    labels: NDArray[np.uint8] | None = None  # train ids (H, W)
    camera: Camera | None = None


@dataclass(frozen=True)
class Stream:
    """What the shots of a bag have in common."""

    kind: str  # of VIDEO_TYPES
    codec: CodecName
    width: int  # px
    height: int  # px
    topic: str = ""  # of the video; '': /camera/image/<transport>
    frame_id: str = "camera"

    def __post_init__(self) -> None:
        if self.codec not in self.type.formats:
            carried = ", ".join(NAMES[codec] for codec in self.type.formats)
            raise BagError(
                f"expected video that {self.type.type_name} carries ({carried}), "
                f"got {NAMES[self.codec]}"
            )
        if not _TOPIC.fullmatch(self.video_topic):
            raise BagError(f"expected a topic's full name, as in /camera/h264, got {self.topic!r}")
        if self.video_topic in (self.beside("labels"), self.beside("camera_info")):
            raise BagError(f"expected a topic for video, got {self.topic}, which is for others")

    @property
    def type(self) -> VideoType:
        """The type of the video's messages."""
        return VIDEO_TYPES[self.kind]

    @property
    def video_topic(self) -> str:
        """Where the video is."""
        return self.topic or f"/camera/image/{self.type.transport}"

    def beside(self, name: str) -> str:
        """Return the topic of that name beside the image's, as image_transport has it.

        As the segment node looks for it: whichever transport the topic is named after.
        """
        image, _, last = self.video_topic.rpartition("/")
        if last in {kind.transport for kind in VIDEO_TYPES.values()}:
            image = image.rpartition("/")[0]
        return f"{image}/{name}"


def write_bag(
    path: str | os.PathLike[str], stream: Stream, shots: Iterable[Shot], storage: str = "mcap"
) -> dict[str, int]:
    """Write shots, in decoding order, as a rosbag2; return how many messages each topic has.

    Messages are recorded at their stamps; those of B-frames, which are shown before the packet
    that they come behind, right after that. The folder appears whole or, when anything fails or
    is interrupted, not at all. MCAP is compressed by chunks, as labels are worth it.
    """
    path = Path(path)
    if storage not in STORAGES:
        raise BagError(f"expected a storage of {', '.join(STORAGES)}, got {storage!r}")
    if storage == "sqlite3":
        refuse_uri_signs(path)
    if path.exists():
        raise BagError(f"{path}: expected a new folder, which exists already")
    if not path.absolute().parent.is_dir():
        raise BagError(f"{path}: expected an existing folder to write it to, found none")
    # The files in it carry the folder's name, so that only a folder around it can have another.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        writer = Writer(partial / path.name, version=_VERSION, storage_plugin=STORAGES[storage])
        if storage == "mcap":
            writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        with writer:
            recorder = _Recorder(writer, stream)
            for shot in shots:
                recorder.add(shot)
            if not recorder.counts:
                raise BagError(f"{path}: expected at least one frame, got none")
        (partial / path.name).rename(path)
    except WriterError as error:
        raise BagError(f"{path}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return recorder.counts


class _Recorder:
    """Makes the messages of shots and writes them, each topic from its first message on."""

    def __init__(self, writer: Writer, stream: Stream) -> None:
        self._writer, self._stream = writer, stream
        self._topics: dict[str, Connection] = {}
        self._time_ns = self._stamp_ns = -1
        self.counts: dict[str, int] = {}

    def add(self, shot: Shot) -> None:
        """Write what there is of a frame, the video last: then all that belongs to it is there."""
        stream, stamp_ns = self._stream, shot.packet.pts_ns
        if not 0 <= stamp_ns < _LATEST_S * _SECOND_NS:
            raise BagError(f"expected a time that ROS can stamp, from 0 s, got {stamp_ns} ns")
        if stamp_ns <= self._stamp_ns and stream.type is FOXGLOVE:
            raise BagError(f"expected video without B-frames for {FOXGLOVE.type_name}, got some")
        self._stamp_ns = stamp_ns
        self._time_ns = max(self._time_ns + 1, stamp_ns)
        header = _header(stamp_ns, stream.frame_id)
        size = (stream.width, stream.height)
        if shot.camera is not None:
            self._check("a calibration", (shot.camera.width, shot.camera.height), size)
            info = _camera_info(header, shot.camera)
            self._write(stream.beside("camera_info"), "sensor_msgs/msg/CameraInfo", info)
        if shot.labels is not None:
            self._check("labels", shot.labels.shape[::-1], size)
            image = _image(header, shot.labels)
            self._write(stream.beside("labels"), "sensor_msgs/msg/Image", image)
        video = _video(stream, header, shot.packet)
        self._write(stream.video_topic, stream.type.type_name, video)

    def _check(self, what: str, found: tuple[int, ...], expected: tuple[int, int]) -> None:
        if found != expected:
            (width, height), got = expected, "x".join(map(str, found))
            raise BagError(f"expected {what} of the video's size, {width}x{height}, got {got}")

    def _write(self, topic: str, type_name: str, message: object) -> None:
        if topic not in self._topics:
            self._topics[topic] = self._writer.add_connection(
                topic, type_name, typestore=TYPES, offered_qos_profiles=[_RELIABLE]
            )
            self.counts[topic] = 0
        data = TYPES.serialize_cdr(message, type_name)
        self._writer.write(self._topics[topic], self._time_ns, data)
        self.counts[topic] += 1


def _make(type_name: str, *values: Any) -> Any:
    """Make a message of its fields, in their order."""
    return TYPES.types[type_name](*values)


def _time(stamp_ns: int) -> Any:
    return _make("builtin_interfaces/msg/Time", *divmod(stamp_ns, _SECOND_NS))


def _header(stamp_ns: int, frame_id: str) -> Any:
    return _make("std_msgs/msg/Header", _time(stamp_ns), frame_id)


def _video(stream: Stream, header: Any, packet: Packet) -> Any:
    name, codec_format = stream.type.type_name, stream.type.formats[stream.codec]
    data = np.frombuffer(packet.data, np.uint8)
    if stream.type is FOXGLOVE:
        return _make(name, header.stamp, header.frame_id, data, codec_format)
    if stream.type is FFMPEG:
        # flags as FFmpeg has them: bit 0 is a key frame. pts tells pictures apart; so does time.
        fields = (codec_format, packet.pts_ns, int(packet.key), False, data)
        return _make(name, header, stream.width, stream.height, *fields)
    return _make(name, header, codec_format, data)


def _image(header: Any, labels: NDArray[np.uint8]) -> Any:
    height, width = labels.shape
    data = np.ascontiguousarray(labels).reshape(-1)
    return _make("sensor_msgs/msg/Image", header, height, width, "mono8", 0, width, data)


def _camera_info(header: Any, camera: Camera) -> Any:
    matrices = [np.array(one, np.float64) for one in (camera.d, camera.k, camera.r, camera.p)]
    whole = _make("sensor_msgs/msg/RegionOfInterest", 0, 0, 0, 0, False)
    size = (camera.height, camera.width, camera.distortion_model)
    return _make("sensor_msgs/msg/CameraInfo", header, *size, *matrices, 0, 0, whole)
