"""Whether each packet follows the one before, told from the numbers and times in its headers."""

from __future__ import annotations

from twnet_ros.codec.bitstream import CodecName
from twnet_ros.codec.h264_sequence import H264Sequence
from twnet_ros.codec.mpeg4_sequence import Mpeg4Sequence
from twnet_ros.codec.vectorless_sequence import VectorlessSequence

PacketSequence = H264Sequence | Mpeg4Sequence | VectorlessSequence


def sequence_of(codec: CodecName) -> PacketSequence:
    """Return what follows the packets of a codec."""
    if codec == "h264":
        return H264Sequence()
    return Mpeg4Sequence() if codec == "mpeg4" else VectorlessSequence(codec)
