"""Which pictures the motion vectors of H.264 pictures point to."""

from __future__ import annotations

from twnet_ros.codec.frame import FrameKind
from twnet_ros.codec.h264 import DROP, DROP_LONG, MAKE_LONG, THIS_LONG, TRUNCATE, Picture
from twnet_ros.codec.h264_parameter import SequenceParameterSet


class References:
    """Tells which pictures' vectors can be used, from their slice headers.

    FFmpeg says of a vector that it points to the past or to the future. That is taken for the
    anchor (I or P picture) before, and for the one after a B picture. It is exact where one
    reference picture a list is in use: then it is known which one that is (ITU-T H.264 clauses
    8.2.4.2 and 8.2.4.3.1), by which short-term ones are kept (8.2.5), and vectors to any other
    are no good. Nor are those of a B picture that comes after another one which is a reference:
    that is nearer than an anchor.
    """

    def __init__(self) -> None:
        self._anchors: list[Picture] = []  # the last two, the one that is shown last at the end
        self._kept: list[Picture] = []  # short-term reference pictures, the newest at the end
        self._long: dict[int, Picture | None] = {}  # long-term ones, by LongTermFrameIdx
        self._between = False  # a B picture since the last anchor is a reference
        # Met so far:
        self._interlaced = False
        self._shifted = False
        self._several = False
        self._pyramid = False
        self._elsewhere = False
        self._weighted = False
        self._unsure = False

    @property
    def caveat(self) -> str:
        """What of the stream is approximate or costs more, as text for a person, or ''."""
        texts = {
            "interlaced: such frames come without motion vectors": self._interlaced,
            "cropped at the left or top: frames come without motion vectors": self._shifted,
            "several reference frames: motion vectors that point further back than to the frame "
            "before are taken to point there": self._several,
            "B pictures that others refer to: B pictures after them come without motion "
            "vectors": self._pyramid,
            "motion vectors that skip a frame (temporal layers, long-term references): frames "
            "with such vectors come without any": self._elsewhere,
            "weighted prediction: the residual is approximate": self._weighted,
            "frame numbers may have gaps: lost packets may not show": self._unsure,
        }
        return "; ".join(text for text, met in texts.items() if met)

    def add(self, picture: Picture, sequence: SequenceParameterSet) -> bool:
        """Take a picture in, by each of its slices; tell whether its vectors can be used."""
        inter = picture.kind is not FrameKind.I
        interlaced = picture.is_field or sequence.adaptive_fields
        self._interlaced = self._interlaced or interlaced
        self._shifted = self._shifted or sequence.shifted
        self._weighted = self._weighted or picture.weighted
        # Only of P pictures of one reference that is named by its number is it known which it is.
        known = picture.kind is FrameKind.P and picture.active == 1 and picture.named != -1
        tells = not inter or (known and not picture.is_field)
        self._unsure = self._unsure or (sequence.gaps_allowed and not tells)
        usable = not (interlaced or sequence.shifted)
        if inter and usable:
            usable = self._points_to_anchors(picture, sequence)
            # Without anchors, pictures are missing or the stream was joined late.
            told = not self._anchors or (picture.kind is FrameKind.B and self._between)
            self._elsewhere = self._elsewhere or not (usable or told)
            self._several = self._several or (usable and picture.active > 1)
        return usable

    def is_newest(self, picture: Picture, sequence: SequenceParameterSet) -> bool:
        """Tell whether a picture is shown after all others so far, as far as that can be told."""
        if not self._anchors or sequence.order_type == 1:
            return False
        # With type 2 pictures are shown in the order of decoding (8.2.1.3).
        return sequence.order_type == 2 or not picture.is_shown_before(self._anchors[-1], sequence)

    def end(self, picture: Picture, sequence: SequenceParameterSet) -> None:
        """Close a picture: those that follow may refer to it."""
        if picture.idr:
            self._kept, self._long = [], {}
        if picture.reference:
            self._mark(picture, sequence)
        if picture.kind is FrameKind.B:
            self._between = self._between or picture.reference
            self._pyramid = self._pyramid or picture.reference
        else:
            last = self._anchors[-1:]
            early = last and not picture.idr and sequence.order_type == 0
            if early and picture.is_shown_before(last[0], sequence):
                self._anchors = [picture, *last]
            else:
                self._anchors = [*last, picture]
            self._between = False

    def forget(self) -> None:
        """Pictures are missing before the next one."""
        self._anchors = []
        self._kept, self._long = [], {}
        self._between = False

    def _mark(self, picture: Picture, sequence: SequenceParameterSet) -> None:
        """Keep a reference picture, and no more of the others than it leaves (8.2.5.3, 8.2.5.4).

        Of numbers of fields, which count otherwise, nothing is known: none is kept.
        """
        values = 1 << sequence.frame_num_bits
        short = [picture]
        for operation, *operands in picture.marking:
            if operation in (DROP, MAKE_LONG):
                number = (picture.frame_num - operands[0] - 1) % values
                found = [one for one in self._kept if one.frame_num == number]
                rest = [one for one in self._kept if one.frame_num != number]
                self._kept = [] if picture.is_field else rest
                if operation == MAKE_LONG:
                    self._long[operands[1]] = found[0] if found else None
            elif operation == DROP_LONG:
                self._long.pop(operands[0], None)
            elif operation == TRUNCATE:
                self._long = {n: one for n, one in self._long.items() if n < operands[0]}
            elif operation == THIS_LONG:
                self._long[operands[0]] = picture
                short = []
        room = max(1, sequence.references - len(self._long))
        self._kept = [*self._kept, *short][-room:]

    def _points_to_anchors(self, picture: Picture, sequence: SequenceParameterSet) -> bool:
        if not self._anchors:
            return False
        past = self._anchors[-1]
        if picture.kind is FrameKind.P:
            if sequence.order_type == 0 and picture.is_shown_before(past, sequence):
                return False
            # The first of the list: the newest (8.2.4.2.1); without any, a long-term one.
            short = self._kept or ([past] if list(self._long.values()) == [past] else [])
            first = short[-1].frame_num if short else None
            target = first if picture.named is None else picture.named
            return past.reference and (picture.active > 1 or target == past.frame_num)
        # Without an anchor that is shown later, both lists hold pictures of the past.
        if self._between or self.is_newest(picture, sequence):
            return False
        # Those of the past are the nearest in list 0, those of the future in list 1 (8.2.4.2.3);
        # where there are none of a kind, a list has the others.
        return all(anchor in self._kept for anchor in self._anchors)
