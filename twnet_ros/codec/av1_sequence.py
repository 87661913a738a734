"""Lost, repeated and reordered AV1 packets, from the order hints of their pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace

from twnet_ros.codec.av1 import FRAMES, SEQUENCE_HEADER, Unit, all_units
from twnet_ros.codec.av1_header import (
    FRAME_HEADER_BYTES,
    SEQUENCE_HEADER_BYTES,
    SLOTS,
    FrameHeader,
    SequenceHeader,
    read_frame_header,
    read_sequence_header,
)
from twnet_ros.codec.bitstream import NAMES, inspect_packet
from twnet_ros.codec.discontinuity import Discontinuity, worst
from twnet_ros.codec.error import CodecError
from twnet_ros.codec.trait import Traits

_LATE = 8  # a packet may come late by one in this many of the order hints there are


@dataclass(frozen=True, slots=True)
class _Kept:
    """A picture in one of the slots that others refer to."""

    order_hint: int
    key: bool
    waits: bool  # hidden so far, to be shown by its number


class Av1Sequence:
    """Follows the order hints of shown pictures (AV1 bitstream specification, 5.9.2 and 7.20).

    Pictures are numbered as they are shown, and each packet shows one: those that are decoded
    before they are shown come with another one. Slots always hold some picture, so that what is
    missing would not be noticed by the decoder. What goes missing directly before a key picture
    cannot be told, nor can as many packets as lie between two key pictures or as there are order
    hints. A packet that only shows a hidden picture names its slot: after a loss it may show the
    picture that was due, and the loss is told by the next packet. An encoder that counts
    pictures it leaves out looks like a loss, unless its next picture names all that the slots
    hold (error resilient mode). Streams without order hints, or in layers, of which some may be
    left out on the way, are not followed.
    """

    def __init__(self) -> None:
        self._data = b""
        self._header: SequenceHeader | None = None
        self.traits = Traits(motion=False)  # of the last packet's picture
        # Of the last packet's key pictures, or of those before; 0 before any. A sequence header
        # may well allow far larger ones than there are.
        self.pixels = 0
        self._apart = False  # hidden pictures come in packets of their own
        self._predicts = False  # not all pictures are key pictures
        self._expect_nothing()

    @property
    def caveat(self) -> str:
        """What of the stream is approximate or costs more, as text for a person."""
        without = f"{NAMES['av1']}: frames come without motion vectors"
        if self._header is None or (self._follows and not self._apart):
            return without
        return f"{without}, and lost packets may not show"

    def forget(self) -> None:
        """Expect nothing of the next picture; the sequence header stays."""
        self._data = b""
        self._expect_nothing()

    def _expect_nothing(self) -> None:
        self._last: int | None = None  # order hint of the last picture shown
        self._late = False  # the packet before came late and was left out
        self._before: int | None = None  # key pictures may begin to number anew: what was last
        self._slots: list[_Kept | None] = [None] * SLOTS

    @property
    def _follows(self) -> bool:
        header = self._header
        return header is not None and header.order_hint_bits > 0 and not header.layered

    def follow(self, data: bytes) -> Discontinuity | None:
        """Compare a packet, headers included, with those before; None when it follows them.

        CodecError for a packet or a frame's header that is not whole.
        """
        repeated, self._data = data == self._data, data
        self.traits = Traits(whole=inspect_packet("av1", data).key, motion=False)
        found: list[Discontinuity] = []
        slots = list(self._slots)
        complete: bool | None = None  # the first frame names what all slots hold
        shown = pixels = 0
        for unit in all_units(data):
            if unit.kind == SEQUENCE_HEADER and complete is None:
                if self._keep_header(data[unit.start : unit.end][:SEQUENCE_HEADER_BYTES]):
                    slots = list(self._slots)
            elif unit.kind in FRAMES and self._header is not None:
                frame = self._read(data, unit, self._header)
                pixels = max(pixels, frame.pixels)
                if not self._follows:
                    continue
                if complete is None:
                    complete = frame.slot_hints == tuple(one and one.order_hint for one in slots)
                shown += frame.shown
                gap = self._next(frame, slots, repeated, complete, 1 << self._bits)
                if gap is not None:
                    found.append(gap)
        self.pixels = pixels or self.pixels
        self._apart = self._apart or (complete is not None and not shown)
        gap = worst(found, shown)
        if gap is None or not (gap.breaks or gap.superfluous):
            self._slots = slots
        elif gap.breaks:
            self._slots = [None] * SLOTS
        return gap

    @property
    def _bits(self) -> int:
        return self._header.order_hint_bits if self._header else 0

    def _keep_header(self, payload: bytes) -> bool:
        """Take in a sequence header; tell whether it is another one."""
        try:
            header = read_sequence_header(payload)
        except CodecError:  # the decoder will say so
            header = None
        if header is not None and header == self._header:
            return False
        self._header = header
        self._apart = self._predicts = False
        self._expect_nothing()
        return True

    @staticmethod
    def _read(data: bytes, unit: Unit, header: SequenceHeader) -> FrameHeader:
        payload = data[unit.start : min(unit.end, unit.start + FRAME_HEADER_BYTES)]
        return read_frame_header(payload, header, unit.layer)

    def _next(
        self,
        frame: FrameHeader,
        slots: list[_Kept | None],
        repeated: bool,
        complete: bool,
        values: int,
    ) -> Discontinuity | None:
        """Put the next frame into its slots; return how it follows if it is shown."""
        if frame.existing is not None:
            return self._show_kept(frame.existing, slots, repeated, values)
        kept = _Kept(frame.order_hint, frame.key, waits=not frame.shown and frame.showable)
        for slot in range(SLOTS):
            if frame.refreshed >> slot & 1:
                slots[slot] = kept
        if not frame.shown:
            return None
        if frame.key:
            # What comes before does not matter. It is decoded again, as two still pictures may
            # have the same bytes, and are common in streams of nothing but key pictures.
            same = repeated and self._predicts and self._last == frame.order_hint
            self._before, self._last, self._late = self._last, frame.order_hint, False
            return Discontinuity(_repeats(frame.order_hint)) if same else None
        self._predicts = True
        gap = self._step(frame.order_hint, repeated, values)
        return replace(gap, breaks=False) if gap is not None and complete else gap

    def _show_kept(
        self, slot: int, slots: list[_Kept | None], repeated: bool, values: int
    ) -> Discontinuity | None:
        kept = slots[slot]
        if kept is None:  # from before the first picture that is known
            self._last, self._late = None, False
            return None
        hint, last = kept.order_hint, self._last
        if not kept.waits and not (repeated and hint == last):
            # The slot was to hold another picture by now.
            self._last = None
            expected = "another one" if last is None else f"order hint {(last + 1) % values}"
            return Discontinuity(
                f"lost packets: expected {expected}, got order hint {hint} again", breaks=True
            )
        gap = self._step(hint, repeated, values)
        shown = replace(kept, waits=False)
        # A key picture refreshes all slots when it is shown (7.21).
        slots[:] = [shown if kept.key or one is kept else one for one in slots]
        if not kept.key or (gap is not None and gap.superfluous):
            return gap
        self.traits = Traits(whole=True, motion=False)
        return None if gap is None else replace(gap, breaks=False)

    def _step(self, hint: int, repeated: bool, values: int) -> Discontinuity | None:
        """Go on from the last picture shown to the one with this order hint."""
        last, late = self._last, self._late
        self._last, self._late = hint, False
        if last is None:
            return None
        ahead, back = (hint - last) % values, (last - hint) % values
        if ahead == 1:
            self._before = None
            return None
        if repeated and ahead == 0:
            return Discontinuity(_repeats(hint), superfluous=True)
        numbers = f"expected order hint {(last + 1) % values}, got {hint}"
        # Left out, a late one harms nothing. Two in a row are what comes after a long loss.
        goes_on = self._before is not None and (hint - self._before) % values == 1
        if back and not late and (goes_on or back <= values // _LATE):
            self._last, self._late = last, True
            return Discontinuity(f"packets out of order: {numbers}", superfluous=True)
        what = "lost packets" if ahead <= values // 2 else "packets out of order"
        return Discontinuity(f"{what}: {numbers}", breaks=True)


def _repeats(hint: int) -> str:
    return f"repeated packet: expected another picture, got order hint {hint} again"
