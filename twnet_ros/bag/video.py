"""The message types that carry video, and what stands in their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twnet_ros.codec.bitstream import NAMES, CodecName


@dataclass(frozen=True)
class VideoType:
    """A message type that carries video."""

    name: str  # as the option --as and the node's parameter input_type have it
    type_name: str
    transport: str  # image_transport's name, the last part of a topic's
    # The fields as upstream defines them, in their order; a later definition may have more behind.
    fields: tuple[tuple[str, str], ...]
    formats: Mapping[CodecName, str]  # what each codec that it may carry is called in it

    @property
    def definition(self) -> str:
        """The fields as a message file has them."""
        return "".join(f"{kind} {name}\n" for kind, name in self.fields)


_CODECS: tuple[CodecName, ...] = tuple(NAMES)
_HEADER = ("std_msgs/Header", "header")

COMPRESSED_IMAGE = VideoType(
    "compressed_image",
    "sensor_msgs/msg/CompressedImage",
    "compressed",
    (_HEADER, ("string", "format"), ("uint8[]", "data")),
    {codec: codec for codec in _CODECS},
)
FFMPEG = VideoType(
    "ffmpeg",
    "ffmpeg_image_transport_msgs/msg/FFMPEGPacket",
    "ffmpeg",
    (
        _HEADER,
        ("int32", "width"),
        ("int32", "height"),
        ("string", "encoding"),
        ("uint64", "pts"),
        ("uint8", "flags"),
        ("bool", "is_bigendian"),
        ("uint8[]", "data"),
    ),
    # Codec, the encoder's pixel format, cv_bridge's, and that of the message it came from.
    {codec: f"{codec};yuv420p;bgr8;bgr8" for codec in _CODECS},
)
FOXGLOVE = VideoType(
    "foxglove",
    "foxglove_msgs/msg/CompressedVideo",
    "foxglove",
    (
        ("builtin_interfaces/Time", "timestamp"),
        ("string", "frame_id"),
        ("uint8[]", "data"),
        ("string", "format"),
    ),
    {"h264": "h264", "hevc": "h265", "vp9": "vp9", "av1": "av1"},
)
VIDEO_TYPES = {kind.name: kind for kind in (COMPRESSED_IMAGE, FFMPEG, FOXGLOVE)}
