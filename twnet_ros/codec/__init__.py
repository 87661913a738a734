"""Bitstream to coded frames and back: decoder, block motion, packets, clip encoder."""

from twnet_ros.codec.container import OpenVideo, VideoInfo, read_packets
from twnet_ros.codec.decoder import StreamDecoder
from twnet_ros.codec.encoder import ClipEncoder, write_clip
from twnet_ros.codec.error import CodecError
from twnet_ros.codec.format import codec_of_format
from twnet_ros.codec.frame import BLOCK_PX, BlockMotion, CodedFrame, FrameKind, spread_blocks
from twnet_ros.codec.limit import Limit
from twnet_ros.codec.motion import compose
from twnet_ros.codec.packet import Packet

__all__ = [
    "BLOCK_PX",
    "BlockMotion",
    "ClipEncoder",
    "CodecError",
    "CodedFrame",
    "FrameKind",
    "Limit",
    "OpenVideo",
    "Packet",
    "StreamDecoder",
    "VideoInfo",
    "codec_of_format",
    "compose",
    "read_packets",
    "spread_blocks",
    "write_clip",
]
