"""Where the chain of H.264 pictures is whole again after a fault."""

from __future__ import annotations

from twnet_ros.codec.bitstream import units
from twnet_ros.codec.frame import FrameKind
from twnet_ros.codec.h264 import SLICES, Picture
from twnet_ros.codec.h264_parameter import SequenceParameterSet

# SEI with a recovery point (D.1.8): recovery_frame_cnt 0, exact_match_flag 1.
_COMPLETE = b"\x00\x00\x01\x06\x06\x01\xc4\x80"


def completed_at_once(data: bytes) -> bytes:
    """Have the recovery point that a packet announces end with its own picture.

    FFmpeg puts out nothing before a recovery is complete, so that what it has to conceal until
    then would not show. Which pictures are whole is for ``Recovery`` to say.
    """
    slices = (offset for offset, byte in units(data) if byte & 0x1F in SLICES)
    first = next(slices, len(data))
    return data[:first] + _COMPLETE + data[first:]


class Recovery:
    """Finds the picture from which on nothing refers to what is missing.

    That is an IDR picture, the end of what a recovery point SEI announces (ITU-T H.264 clause
    D.2.8), or another I picture where only one reference picture is kept.
    """

    def __init__(self) -> None:
        self._broken = True
        self._end: int | None = None  # frame_num of the picture that completes a recovery
        self._resumed: Picture | None = None  # the first whole picture, while it may matter

    def lose(self) -> None:
        """Something is missing before the next picture."""
        self._broken = True
        self._end = self._resumed = None

    def add(self, picture: Picture, sequence: SequenceParameterSet, announced: int | None) -> bool:
        """Take the next picture in; tell whether it is whole.

        ``announced`` is the recovery_frame_cnt that came with it.
        """
        if picture.idr:
            self._broken = False
            self._resumed = self._end = None
        elif self._broken:
            if self._completes(picture, sequence, announced):
                self._broken = False
                self._resumed = picture if sequence.order_type == 0 else None
                self._end = None
        elif self._resumed is not None:
            if picture.is_shown_before(self._resumed, sequence):
                return False
            self._resumed = None
        return not self._broken

    def wants(self, picture: Picture, sequence: SequenceParameterSet) -> bool:
        """Tell whether a picture is of use.

        Those shown before the I picture that ended the fault may need what was before it.
        """
        resumed = self._resumed
        return (
            picture.idr
            or resumed is None
            or resumed.kind is not FrameKind.I
            or not picture.is_shown_before(resumed, sequence)
        )

    def _completes(
        self, picture: Picture, sequence: SequenceParameterSet, announced: int | None
    ) -> bool:
        values = 1 << sequence.frame_num_bits
        if announced is not None:
            end = (picture.frame_num + announced) % values
            if self._end is None or announced < (self._end - picture.frame_num) % values:
                self._end = end
        if not picture.reference:
            return False
        alone = sequence.references <= 1 and not picture.is_field
        return picture.frame_num == self._end or (alone and picture.kind is FrameKind.I)
