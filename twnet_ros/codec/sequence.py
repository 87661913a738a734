"""Whether each packet follows the one before, told from the numbers and times in its headers."""

from __future__ import annotations

from twnet_ros.codec.av1_sequence import Av1Sequence
from twnet_ros.codec.bitstream import CodecName
from twnet_ros.codec.h264_sequence import H264Sequence
from twnet_ros.codec.mpeg4_sequence import Mpeg4Sequence
from twnet_ros.codec.vectorless_sequence import VectorlessSequence

PacketSequence = Av1Sequence | H264Sequence | Mpeg4Sequence | VectorlessSequence


def sequence_of(codec: CodecName) -> PacketSequence:
    """Return what follows the packets of a codec."""
    if codec == "h264":
        return H264Sequence()
    if codec == "mpeg4":
        return Mpeg4Sequence()
    return Av1Sequence() if codec == "av1" else VectorlessSequence(codec)
