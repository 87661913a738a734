"""Lost, repeated and reordered MPEG-4 part 2 packets, from the times of their pictures."""

from __future__ import annotations

from collections import Counter, deque

from twnet_ros.codec.bitstream import START_CODE, inspect_packet, units
from twnet_ros.codec.discontinuity import Discontinuity, worst
from twnet_ros.codec.error import CodecError
from twnet_ros.codec.mpeg4 import (
    GROUP,
    HEADER_BYTES,
    LAYERS,
    VOP,
    Layer,
    Vop,
    read_group,
    read_layer,
    read_vop,
)
from twnet_ros.codec.trait import Traits

_INTERVALS = 16  # by which a cadence is judged
_LONGEST_TURN = 5


def without_rest(data: bytes) -> bytes:
    """Return a packet up to the end of its last VOP.

    FFmpeg, told to look for errors, takes for one what may stand behind that: stuffing of zeros,
    which no VOP ends with (5.2.4), user data, or the end code of the sequence. Where that is the
    layer of another picture, the packet is left as it is, for FFmpeg to refuse.
    """
    end = data.find(START_CODE, data.rfind(START_CODE + bytes([VOP])) + 4)
    if end < 0:
        return data.rstrip(b"\0")
    if any(unit in LAYERS for _, unit in units(data[end:])):
        return data
    return data[:end].rstrip(b"\0")


class Mpeg4Sequence:
    """Follows the times of VOPs (ISO/IEC 14496-2 clause 6.3.5) at the cadence they have.

    Pictures are not numbered: what is lost shows only as a gap in a constant cadence, and a
    sender that leaves a picture out of one looks the same. Where B-VOPs may come, times are
    checked in the order of display, a picture later than it was coded; the decoder holds that
    picture back as long.
    """

    def __init__(self) -> None:
        self.traits = Traits()  # of the last packet's picture
        self.pixels = 0  # of the last packet's largest picture, by its layer
        self._data = b""
        self._layer: Layer | None = None
        self._cadence = Cadence()
        self._reorders = False
        self._between = False  # B-VOPs have come
        self._second = 0  # of the last anchor (I, P or S), from which increments count
        self._second_before = 0  # of the anchor before, from which those of B-VOPs count
        self._forget_times()

    @property
    def caveat(self) -> str:
        """What of the stream costs more, as text for a person; '' for nothing."""
        if self._layer is None:
            return ""
        found = []
        if self._layer.interlaced:
            found.append("interlaced: frames come without motion vectors")
        if self._layer.global_motion:
            found.append("global motion (GMC): frames that use it come without motion vectors")
        if self._between:
            found.append("B pictures: they come without motion vectors")
        return "; ".join(found)

    def forget(self) -> None:
        """Expect nothing of the next picture; the layer and its cadence stay."""
        self._data = b""
        self._forget_times()

    def _forget_times(self) -> None:
        # In ticks. Without reordering an anchor is shown at once and none is ever held.
        self._shown: int | None = None  # the last picture in the order of display
        self._held: int | None = None  # the last anchor, while B-VOPs before it may come
        self._held_key = False
        self._before: int | None = None  # the anchor before the last one

    def follow(self, data: bytes) -> Discontinuity | None:
        """Compare a packet, headers included, with those before; None when it follows them.

        CodecError for a picture that FFmpeg would decode wrongly.
        """
        repeated = data == self._data
        self._data = data
        found: list[Discontinuity] = []
        self.pixels = pictures = 0
        self.traits = Traits(whole=inspect_packet("mpeg4", data).key)
        for offset, unit in units(data):
            start = offset + 4
            if unit in LAYERS:
                self._keep_layer(data[start : start + HEADER_BYTES])
            elif unit == GROUP and not repeated:
                self._second = read_group(data[start : start + HEADER_BYTES])
            elif unit == VOP and self._layer is not None:
                pictures += 1
                self.pixels = max(self.pixels, self._layer.pixels)
                if self._layer.unsupported:
                    raise CodecError(self._layer.unsupported)
                vop = read_vop(data[start : start + HEADER_BYTES], self._layer)
                step = self._next_between if vop.kind == "B" else self._next_anchor
                gap = step(vop, self._layer.resolution, repeated)
                if gap is not None:
                    found.append(gap)
                    if gap.breaks:  # the decoder will have no anchor before this one
                        self._before = None
        return worst(found, pictures)

    def _keep_layer(self, unit: bytes) -> None:
        try:
            layer = read_layer(unit)
        except CodecError:  # the decoder will say so
            self._layer = None
            return
        if layer != self._layer:
            self._layer = layer
            self._cadence = Cadence(layer.step)
            self._reorders = layer.low_delay is False
            self._between = False
            self._forget_times()

    def _next_anchor(self, vop: Vop, resolution: int, repeated: bool) -> Discontinuity | None:
        last = self._held if self._reorders else self._shown
        second = self._second + vop.seconds
        time = second * resolution + vop.increment
        # At one picture a second, a still picture has the same bytes each time.
        if repeated and last is not None and not self._cadence.may_have(time - last):
            return Discontinuity(_repeats(time), superfluous=True)
        key = vop.kind == "I"
        back = last is not None and time <= last
        if back and not vop.coded:  # stands in for a picture that came before
            return None
        reason = ""
        if back and not key:  # with a key picture, a recording starts again
            reason = f"packets out of order: expected a VOP time above {last}, got {time}"
            if last is not None and time + resolution - last <= resolution // 2:
                # The second began in a picture that is missing.
                second, time = second + 1, time + resolution
                reason = f"lost packets: expected a VOP time after {last}, got {time}"
        self._second_before, self._second, self._before = self._second, second, last
        gap = None
        if self._reorders:
            if self._held is not None:
                gap = self._show(self._held, self._held_key)
            self._held, self._held_key = time, key
        elif last is not None and not back:
            gap = self._show(time, key)
        if back or last is None:
            # What precedes is no interval of the sender's, nor is what follows a late picture.
            self._shown = None if self._reorders or reason else time
            if key:
                self._cadence.begin()
        return Discontinuity(reason, breaks=True) if reason else gap

    def _next_between(self, vop: Vop, resolution: int, repeated: bool) -> Discontinuity | None:
        self._between = True
        if not self._reorders:  # the last anchor was taken for shown
            self._reorders = True
            self._cadence = Cadence()
            self._held, self._shown = self._shown, self._before
        time = (self._second_before + vop.seconds) * resolution + vop.increment
        if self._held is not None and time >= self._held:
            reason = f"lost packets: expected a VOP time below {self._held}, got {time}"
            self._forget_times()
            return Discontinuity(reason, breaks=True)
        if self._before is None:
            reason = f"expected two anchors of the B-VOP at {time}, one of them is missing"
            return Discontinuity(reason, superfluous=True)
        if self._shown is not None and time <= self._shown:  # nothing refers to a B-VOP
            reason = f"packets out of order: expected a VOP time above {self._shown}, got {time}"
            return Discontinuity(_repeats(time) if repeated else reason, superfluous=True)
        return self._show(time, key=False)

    def _show(self, time: int, key: bool) -> Discontinuity | None:
        last, self._shown = self._shown, time
        if last is None or time <= last:  # the latter only of damaged headers
            return None
        lost = self._cadence.missing_before(time - last, key)
        if not lost:
            return None
        step = self._cadence.step
        return Discontinuity(
            f"lost packets: expected VOP times {step} apart, got {time} after {last}",
            breaks=not key,
        )


class Cadence:
    """The shortest interval that occurs, in ticks, while it is more than half of the last ones.

    Two intervals show it if one is a multiple of the other; a layer of fixed rate says it. There
    is none where intervals vary otherwise or come in turns.
    """

    def __init__(self, step: int | None = None) -> None:
        self.step = step
        self._recent: deque[int] = deque([] if step is None else [step] * 3, _INTERVALS)
        self._unchecked: deque[int] = deque(maxlen=_INTERVALS)  # since the last key picture

    def begin(self) -> None:
        """Go on from a key picture: what was missing before it does not matter."""
        self._unchecked.clear()

    def may_have(self, interval: int) -> bool:
        """Tell whether an interval is one that occurs, as far as is known."""
        return interval > 0 and (not self._recent or interval in self._recent)

    def missing_before(self, interval: int, key: bool) -> int:
        """Take in the interval up to the next picture; return how many pictures are missing.

        When the step shows itself only now, those missing since the last key picture count too.
        """
        self._recent.append(interval)
        self._unchecked.append(interval)
        self.step = self._find()
        missing = 0
        if self.step is not None:
            gaps = [gap for gap in self._unchecked if gap % self.step == 0]
            missing = sum(gap // self.step - 1 for gap in gaps)
        if key or self.step is not None:
            self.begin()
        return missing

    def _find(self) -> int | None:
        recent, few = self._recent, len(self._recent) <= 3
        often = [gap for gap, count in Counter(recent).items() if few or count > 1]
        if len(recent) < 2 or not often or self._is_pattern():
            return None
        # Damage makes intervals longer, never shorter.
        step = min(often)
        if len(recent) == 2 and max(recent) % step == 0:
            return step
        return step if 2 * recent.count(step) > len(recent) else None

    def _is_pattern(self) -> bool:
        """Tell whether different intervals come in turns, as those of 24 pictures in 30 ticks."""
        recent = list(self._recent)
        return (
            len(recent) == _INTERVALS
            and len(set(recent)) > 1
            and any(recent[turn:] == recent[:-turn] for turn in range(2, _LONGEST_TURN + 1))
        )


def _repeats(time: int) -> str:
    return f"repeated packet: expected another picture, got VOP time {time} again"
