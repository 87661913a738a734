"""Lost, repeated and reordered H.264 packets, from frame numbers and order counts."""

from __future__ import annotations

import math
from collections import deque

from twnet_ros.codec.bitstream import START_CODE, units
from twnet_ros.codec.discontinuity import Discontinuity, worst
from twnet_ros.codec.error import CodecError
from twnet_ros.codec.h264 import (
    MOST_REORDERED,
    PARAMETER_SET_BYTES,
    PPS,
    SLICE_HEADER_BYTES,
    SLICES,
    SPS,
    Picture,
    Sequence,
    read_parameters_id,
    read_pps,
    read_slice,
    read_sps,
)


class H264Sequence:
    """
    Follows frame_num (ITU-T H.264 clause 7.4.3) and, for pictures that nothing refers to, the
    picture order count of type 0 (8.2.1.1).

    What goes missing directly before an IDR picture cannot be told, nor can as many consecutive
    packets as a key picture's distance to the next one or as frame_num has values. Streams that
    allow gaps in frame_num say nothing about losses. memory_management_control_operation 5, which
    sets frame_num back without an IDR picture, is taken for a loss.
    """

    def __init__(self) -> None:
        self._sequences: dict[int, Sequence] = {}
        self._parameters: dict[int, int] = {}  # picture parameter sets: the id of their sequence's
        self._data = b""
        self._last: Picture | None = None
        self._reference: int | None = None  # frame_num of the last reference picture
        self._order = _Order()
        self._broken = True  # up to the next I picture
        self._resumed: int | None = None  # the order count of that one, while it may matter

    def forget(self) -> None:
        """Expect nothing of the next picture; parameter sets stay."""
        self._data = b""
        self._last = None
        self._reference = None
        self._order.stop()
        self._broken = True

    def follow(self, data: bytes) -> Discontinuity | None:
        """Compare a packet, headers included, with those before; None when it follows them."""
        repeated = data == self._data
        self._data = data
        found: list[Discontinuity] = []
        pictures: list[Picture] = []
        for offset, byte in units(data):
            start, kind = offset + 3, byte & 0x1F
            if kind == SPS:
                self._keep_sequence(_unit(data, start + 1, PARAMETER_SET_BYTES))
            elif kind == PPS:
                self._keep_parameters(_unit(data, start + 1, PARAMETER_SET_BYTES))
            elif kind in SLICES:
                unit = _unit(data, start, SLICE_HEADER_BYTES)
                sequence = self._sequence_of(unit)
                if sequence is None:  # the decoder will say so
                    self.forget()
                    continue
                picture = read_slice(unit, sequence)
                if pictures and picture == pictures[-1]:  # another slice of it
                    continue
                pictures.append(picture)
                gap = self._next(picture, sequence, repeated)
                gap = self._before_key(picture, sequence, gap) or gap
                if gap is not None:
                    found.append(gap)
        return worst(found, len(pictures))

    def _keep_sequence(self, unit: bytes) -> None:
        try:
            sequence = read_sps(unit)
        except CodecError:  # the decoder will say so
            self._sequences.clear()
        else:
            self._sequences[sequence.id] = sequence

    def _keep_parameters(self, unit: bytes) -> None:
        try:
            number, sequence = read_pps(unit)
        except CodecError:  # the decoder will say so
            self._parameters.clear()
        else:
            self._parameters[number] = sequence

    def _sequence_of(self, unit: bytes) -> Sequence | None:
        number = self._parameters.get(read_parameters_id(unit))
        return None if number is None else self._sequences.get(number)

    def _next(self, picture: Picture, sequence: Sequence, repeated: bool) -> Discontinuity | None:
        last, reference = self._last, self._reference
        self._last = picture
        second = last is not None and _is_second_field(last, picture)
        if picture.idr and not second:
            self._reference = picture.frame_num
            self._order.begin(picture)
            # It is decoded again, as senders that do not count idr_pic_id repeat still pictures.
            return Discontinuity(_repeats(picture)) if repeated and picture == last else None
        if last is None or reference is None or second:
            if not second:
                self._anchor(picture, sequence)
            return None

        values = 1 << sequence.frame_num_bits
        expected = (reference + 1) % values
        ahead = (picture.frame_num - expected) % values
        same = picture == last and (not picture.reference or ahead == values - 1)
        if same and repeated and (picture.reference or sequence.order_type != 1):
            return Discontinuity(_repeats(picture), superfluous=True)
        if ahead == 0 and not (same and sequence.order_type == 0):
            if picture.reference:
                self._reference = picture.frame_num
            reason = self._order.add(picture, sequence)
            return Discontinuity(reason) if reason else None
        if sequence.gaps_allowed and 0 < ahead < values - 1:
            self._anchor(picture, sequence)
            return None
        numbers = f"expected frame_num {expected}, got {picture.frame_num}"
        if ahead == 0:
            numbers = f"expected another picture, got two of frame_num {picture.frame_num}"
        if 0 < ahead < values // 2:
            reason = f"lost packets: {numbers}"
        else:
            reason = f"packets out of order: {numbers}"
            if not picture.reference:  # nothing is missing without it
                self._last = last
                return Discontinuity(reason, superfluous=True)
        self._anchor(picture, sequence)
        return Discontinuity(reason, breaks=True)

    def _before_key(
        self, picture: Picture, sequence: Sequence, gap: Discontinuity | None
    ) -> Discontinuity | None:
        """Leave out what is shown before the I picture that ends a fault: it may need the past."""
        if gap is not None and gap.breaks:
            self._broken, self._resumed = True, None
        if picture.idr:
            self._broken, self._resumed = False, None
        elif self._broken and picture.intra:
            self._broken = False
            self._resumed = picture.order if sequence.order_type == 0 else None
        elif self._resumed is not None:
            values = 1 << sequence.order_bits
            if (picture.order - self._resumed) % values >= values // 2:
                reason = "expected pictures after the key picture, got one shown before it"
                return Discontinuity(reason, superfluous=True)
            self._resumed = None
        return None

    def _anchor(self, picture: Picture, sequence: Sequence) -> None:
        """Go on from a picture whose predecessors are not known."""
        values = 1 << sequence.frame_num_bits
        self._reference = (picture.frame_num - (not picture.reference)) % values
        self._order.stop()


class _Order:
    """The pictures since the last IDR in the order they are shown, each a step after the other."""

    def __init__(self) -> None:
        self._step = 0  # greatest common divisor of all order counts so far
        self._active = False
        self._msb = 0  # of the last reference picture, as its lsb below
        self._lsb = 0
        self._base = 0  # the IDR picture's order count
        self._shown = 0  # all pictures up to here have come
        self._ahead: set[int] = set()
        self._recent: deque[int] = deque(maxlen=2 * MOST_REORDERED)

    def stop(self) -> None:
        """Check nothing up to the next IDR picture."""
        self._active = False

    def begin(self, picture: Picture) -> None:
        self._active = not picture.is_field
        self._msb, self._lsb = 0, picture.order
        self._base = self._shown = picture.order
        self._ahead.clear()
        self._recent.clear()
        self._recent.append(self._base)

    def add(self, picture: Picture, sequence: Sequence) -> str:
        """Take the next picture in; return why it does not follow, '' if it may."""
        if sequence.order_type != 0 or picture.is_field:
            self.stop()
        if not self._active:
            return ""
        values = 1 << sequence.order_bits
        msb = self._msb
        if picture.order < self._lsb and self._lsb - picture.order >= values // 2:
            msb += values
        elif picture.order > self._lsb and picture.order - self._lsb > values // 2:
            msb -= values
        if picture.reference:
            self._msb, self._lsb = msb, picture.order
        count = msb + picture.order
        self._recent.append(count)
        step = math.gcd(self._step, count - self._base)
        if step != self._step:  # finer than known so far: there may be more in between
            self._step = step
            self._shown = min(self._recent)
            self._ahead = {other for other in self._recent if other > self._shown}
        elif count <= self._shown or count in self._ahead:
            return (
                f"packets out of order: expected an order count above {self._shown}, got {count}"
            )
        else:
            self._ahead.add(count)
        self._advance()
        if len(self._ahead) <= sequence.reordered:
            return ""
        missing = self._shown + step
        self._shown = min(self._ahead) - step
        self._advance()
        return f"lost packets: expected order count {missing}, got {count}"

    def _advance(self) -> None:
        while self._shown + self._step in self._ahead:
            self._shown += self._step
            self._ahead.remove(self._shown)


def _is_second_field(last: Picture, picture: Picture) -> bool:
    return (
        last.is_field
        and picture.is_field
        and last.bottom != picture.bottom
        and last.frame_num == picture.frame_num
        # A pair begins with either parity, but its second field is never the only IDR one.
        and (last.idr or not picture.idr)
        and (last.reference or not picture.reference)
    )


def _repeats(picture: Picture) -> str:
    return f"repeated packet: expected another picture, got frame_num {picture.frame_num} again"


def _unit(data: bytes, start: int, most: int) -> bytes:
    """Return the bytes up to the next start code, not more than that many."""
    end = data.find(START_CODE, start, start + most)
    return data[start : start + most if end < 0 else end]
