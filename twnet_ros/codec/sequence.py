"""Whether each packet follows the one before, told from the numbers and times in its headers."""

from __future__ import annotations

from twnet_ros.codec.bitstream import CodecName
from twnet_ros.codec.h264_sequence import H264Sequence
from twnet_ros.codec.mpeg4_sequence import Mpeg4Sequence

PacketSequence = H264Sequence | Mpeg4Sequence


def sequence_of(codec: CodecName) -> PacketSequence:
    """Return what follows the packets of a codec."""
    return H264Sequence() if codec == "h264" else Mpeg4Sequence()
