"""Lost, repeated and reordered H.264 packets, from frame numbers and order counts."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from twnet_ros.codec.bitstream import START_CODE, units
from twnet_ros.codec.discontinuity import Discontinuity, worst
from twnet_ros.codec.error import CodecError
from twnet_ros.codec.frame import FrameKind
from twnet_ros.codec.h264 import (
    PARTITION,
    PPS,
    SEI,
    SEI_BYTES,
    SLICE_HEADER_BYTES,
    SLICES,
    SPS,
    Picture,
    read_parameters_id,
    read_recovery,
    read_slice,
)
from twnet_ros.codec.h264_parameter import (
    MOST_REORDERED,
    PARAMETER_SET_BYTES,
    PictureParameterSet,
    SequenceParameterSet,
    read_pps,
    read_sps,
)
from twnet_ros.codec.h264_recovery import Recovery
from twnet_ros.codec.h264_reference import References
from twnet_ros.codec.trait import Traits


@dataclass(slots=True)
class _Coded:
    """The slices of one picture."""

    slices: list[Picture]
    sequence: SequenceParameterSet

    @property
    def picture(self) -> Picture:
        return replace(self.slices[0], kind=_most_predicted(one.kind for one in self.slices))


_MOST_IDS = {SPS: 32, PPS: 256}  # (7.4.2.1.1, 7.4.2.2)
# All that have ids of their own, and as many that were put in front; one more is for nothing.
_MOST_PARAMETER_SETS = 2 * sum(_MOST_IDS.values())
_MOST_REFERENCES = 16  # that are kept (A.3.1)
_MOST_SEI = 32  # units that are searched for a recovery point, which stands in one of the first
# What the slices of a packet may come to if each goes on to the end of the picture, as FFmpeg lets
# them: of a few bytes each and in a large picture, 4096 of them would take minutes.
_MOST_MACROBLOCKS = 6 << 20


class H264Sequence:
    """Follows frame_num, and the order of pictures that nothing refers to.

    ITU-T H.264, clauses 7.4.3 and 8.2.1.1 (picture order count of type 0). What goes missing
    directly before an IDR picture cannot be told, nor can as many consecutive packets as a key
    picture's distance to the next one or as frame_num has values. Where gaps in frame_num are
    allowed, as for layers that are left out, a loss shows only in a P picture of one reference
    that is missing: none refers to what was left out on purpose (8.2.5.2).
    memory_management_control_operation 5, which sets frame_num back without an IDR picture, is
    taken for a loss.
    """

    def __init__(self) -> None:
        self._sequences: dict[int, SequenceParameterSet] = {}
        self._parameters: dict[int, PictureParameterSet] = {}
        self._sets: dict[tuple[int, int], bytes] = {}  # their units, by type and id
        self._data = b""
        self._last: Picture | None = None
        self.half = False  # whether that is the first field of a frame
        self._reference: int | None = None  # frame_num of the last reference picture
        # frame_num of reference pictures that did not come where gaps are allowed, the latest.
        self._missing: deque[int] = deque(maxlen=_MOST_REFERENCES)
        self._order = _Order()
        self._recovery = Recovery()
        self._references = References()
        self.traits = Traits(motion=False)  # of the last packet's picture
        self.pixels = 0  # of the last packet's largest picture, by its parameter sets

    @property
    def caveat(self) -> str:
        """What of the stream is approximate or costs more, as text for a person, or ''."""
        return self._references.caveat

    def sets_beside(self, headers: bytes) -> bytes:
        """Return all parameter sets in force, as units, where ``headers`` lack one; else b''."""
        own = H264Sequence()
        for offset, byte in units(headers):
            if byte & 0x1F in (SPS, PPS):
                own._keep_set(byte & 0x1F, _unit(headers, offset + 3, PARAMETER_SET_BYTES))
        lacking = self._sets.keys() - own._sets.keys()
        return b"".join(self._sets[key] for key in sorted(self._sets)) if lacking else b""

    def forget(self) -> None:
        """Expect nothing of the next picture; parameter sets stay."""
        self._data = b""
        self._last = None
        self.half = False
        self._reference = None
        self._missing.clear()
        self._order.stop()
        self._recovery.lose()
        self._references.forget()

    def follow(self, data: bytes) -> Discontinuity | None:
        """Compare a packet, headers included, with those before; None when it follows them.

        CodecError for a second picture, one that FFmpeg would decode wrongly, that is too large,
        or that would take seconds, by its number of parameter sets or slices.
        """
        repeated = data == self._data
        self._data = data
        self.traits = Traits(motion=False)
        self.pixels = sets = slices = messages = 0
        announced: int | None = None
        pictures: list[_Coded] = []
        for offset, byte in units(data):
            start, kind = offset + 3, byte & 0x1F
            sets += kind in (SPS, PPS)
            if sets > _MOST_PARAMETER_SETS:
                raise CodecError(
                    f"expected at most {_MOST_PARAMETER_SETS} parameter sets in a packet, got more"
                )
            if kind in (SPS, PPS):
                self._keep_set(kind, _unit(data, start, PARAMETER_SET_BYTES))
            elif kind == SEI and announced is None and messages < _MOST_SEI:
                messages += 1
                announced = read_recovery(_unit(data, start + 1, SEI_BYTES))
            elif kind in SLICES:
                slices += 1
                self._keep_slice(_unit(data, start, SLICE_HEADER_BYTES), pictures, slices)
        # FFmpeg would decode the first frame of a packet, and what refers to others wrongly.
        if len(pictures) > 1 and not _are_fields([coded.picture for coded in pictures]):
            raise CodecError(f"expected one picture a packet, got {len(pictures)}")
        half = self.half
        taken = [self._take(coded, announced, repeated) for coded in pictures]
        if taken:
            kinds = [traits.kind or FrameKind.I for _, traits in taken]
            self.traits = Traits(  # the second field of an IDR picture may be predicted
                kind=FrameKind.I if pictures[0].picture.idr else _most_predicted(kinds),
                whole=all(traits.whole for _, traits in taken),
                motion=len(taken) == 1 and taken[0][1].motion,
                announces=announced is not None,
                second=half and not self.half and taken[0][0] is None,
            )
        return worst([gap for gap, _ in taken if gap is not None], len(taken))

    def _keep_set(self, kind: int, unit: bytes) -> None:
        """Keep a parameter set; of one that cannot be read the decoder will say so."""
        try:
            read = read_sps(unit[1:]) if kind == SPS else read_pps(unit[1:])
        except CodecError:
            self._sets.clear()
            (self._sequences if kind == SPS else self._parameters).clear()
            return
        if read.id >= _MOST_IDS[kind]:  # FFmpeg leaves it out, too
            return
        if isinstance(read, PictureParameterSet):
            self._parameters[read.id] = read
        else:
            if self._sequences.get(read.id) != read:
                self._references = References()
            self._sequences[read.id] = read
        self._sets[kind, read.id] = START_CODE + unit.rstrip(b"\x00")

    def _keep_slice(self, unit: bytes, pictures: list[_Coded], count: int) -> None:
        """Add a packet's slice, the ``count``th, to its picture."""
        parameters = self._parameters.get(read_parameters_id(unit))
        sequence = None if parameters is None else self._sequences.get(parameters.sequence)
        if parameters is None or sequence is None:
            raise CodecError("expected the parameter sets of a picture, got none that can be read")
        size = sequence.macroblocks
        if count * size > _MOST_MACROBLOCKS:
            raise CodecError(
                f"expected at most {_MOST_MACROBLOCKS // size} slices of a picture of "
                f"{size} macroblocks, got more"
            )
        unsupported = sequence.unsupported or parameters.unsupported
        if unit[0] & 0x1F == PARTITION:
            unsupported = "expected whole slices, got data partitions (Extended profile)"
        if unsupported:
            raise CodecError(unsupported)
        self.pixels = max(self.pixels, 256 * sequence.macroblocks)
        picture = read_slice(unit, sequence, parameters)
        if pictures and picture == pictures[-1].slices[0]:
            pictures[-1].slices.append(picture)
        else:
            pictures.append(_Coded([picture], sequence))

    def _take(
        self, coded: _Coded, announced: int | None, repeated: bool
    ) -> tuple[Discontinuity | None, Traits]:
        """Return how the next picture follows, and what is known of it."""
        picture, sequence = coded.picture, coded.sequence
        unknown = Traits(picture.kind, whole=False, motion=False)
        gap = self._next(picture, sequence, repeated)
        if gap is None or not (gap.breaks or gap.superfluous):
            gap = self._lack(coded) or gap
        if gap is not None and gap.breaks:
            self._recovery.lose()
            self._references.forget()
        if gap is not None and gap.superfluous:
            return gap, unknown
        if not self._recovery.wants(picture, sequence):
            reason = "expected pictures after the key picture, got one shown before it"
            return Discontinuity(reason, superfluous=True), unknown
        whole = self._recovery.add(picture, sequence, announced)
        usable = [self._references.add(one, sequence) for one in coded.slices]
        if picture.kind is FrameKind.B and self._references.is_newest(picture, sequence):
            picture = replace(picture, kind=FrameKind.P)  # by what it is predicted from
        self._references.end(picture, sequence)
        return gap, Traits(picture.kind, whole, all(usable))

    def _next(
        self, picture: Picture, sequence: SequenceParameterSet, repeated: bool
    ) -> Discontinuity | None:
        last, reference, half = self._last, self._reference, self.half
        self._last = picture
        second = last is not None and half and _is_second_field(last, picture)
        self.half = picture.is_field and not second
        if picture.idr and not second:
            self._reference = picture.frame_num
            self._missing.clear()
            self._order.begin(picture)
            # It is decoded again, as senders that do not count idr_pic_id repeat still pictures.
            return Discontinuity(_repeats(picture)) if repeated and picture == last else None
        if last is None or reference is None or second:
            if not second:
                self._anchor(picture, sequence)
            return None
        if half:
            parity = "top" if last.bottom else "bottom"
            reason = f"lost packets: expected the {parity} field of frame_num {last.frame_num}, "
            reason += f"got frame_num {picture.frame_num}"
            self._anchor(picture, sequence)
            return Discontinuity(reason, breaks=last.reference)

        values = 1 << sequence.frame_num_bits
        expected = (reference + 1) % values
        ahead = (picture.frame_num - expected) % values
        same = picture == last and (not picture.reference or ahead == values - 1)
        if same and repeated and (picture.reference or sequence.order_type != 1):
            return Discontinuity(_repeats(picture), superfluous=True)
        if ahead == 0 and not (same and sequence.order_type == 0):
            if picture.reference:
                self._reference = picture.frame_num
            self._find(picture)
            reason = self._order.add(picture, sequence)
            return Discontinuity(reason) if reason else None
        if sequence.gaps_allowed and 0 < ahead < values - 1:
            left_out = range(max(0, ahead - _MOST_REFERENCES), ahead)
            self._missing.extend((expected + n) % values for n in left_out)
            self._find(picture)
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

    def _find(self, picture: Picture) -> None:
        """Take a picture's frame_num from those that are missing, maybe of one long ago."""
        if picture.reference:
            rest = (number for number in self._missing if number != picture.frame_num)
            self._missing = deque(rest, _MOST_REFERENCES)

    def _lack(self, coded: _Coded) -> Discontinuity | None:
        """Break the chain where a picture refers to one that is missing, if it tells to which."""
        values = 1 << coded.sequence.frame_num_bits
        for one in coded.slices:
            if one.kind is FrameKind.P and one.active == 1 and not one.is_field:
                target = (one.frame_num - 1) % values if one.named is None else one.named
                if target in self._missing:
                    self._missing.clear()
                    reason = f"lost packets: expected frame_num {target}, got {one.frame_num}"
                    return Discontinuity(f"{reason}, which refers to it", breaks=True)
        return None

    def _anchor(self, picture: Picture, sequence: SequenceParameterSet) -> None:
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

    def add(self, picture: Picture, sequence: SequenceParameterSet) -> str:
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


def _are_fields(pictures: list[Picture]) -> bool:
    """Tell whether pictures are the two fields of one frame."""
    return len(pictures) == 2 and _is_second_field(*pictures)


def _most_predicted(kinds: Iterable[FrameKind]) -> FrameKind:
    return max(kinds, key=(FrameKind.I, FrameKind.P, FrameKind.B).index)


def _repeats(picture: Picture) -> str:
    return f"repeated packet: expected another picture, got frame_num {picture.frame_num} again"


def _unit(data: bytes, start: int, most: int) -> bytes:
    """Return the bytes up to the next start code, not more than that many."""
    end = data.find(START_CODE, start, start + most)
    return data[start : start + most if end < 0 else end]
