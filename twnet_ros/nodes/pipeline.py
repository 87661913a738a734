"""From packets to labels on two threads: one decodes, one runs the network."""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from twnet_ros.codec import CodecError, CodedFrame, FrameKind, Limit, StreamDecoder
from twnet_ros.codec.bitstream import CodecName
from twnet_ros.codec.limit import NO_FURTHER_LIMIT
from twnet_ros.nodes.backlog import Backlog, Gap
from twnet_ros.nodes.ticket import Fate, Ticket
from twnet_ros.segment import Segmentation, Segmenter, Wish

# Decoded frames that wait for the network hold their pictures: few, the rest waits as packets.
DECODED_LIMIT = 2
# Packets whose pictures the decoder may hold back: 16 B-frames, and the anchors around them.
PENDING_LIMIT = 18

NOBODY = "nobody subscribes to what is made of the labels"
NO_PICTURE = "no picture came out of this packet"
BROKEN = "labelled although the reference chain is broken"
SKIPPED = "skipped for a newer frame, to keep within max_latency_ms"

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")


@dataclass(slots=True)
class _Decoded:
    ticket: Ticket
    number: int
    gap: Gap | None
    lost: list[Ticket]  # to be handed back before this one
    forgotten: int  # lost without a ticket
    notice: str = ""  # what the packet told about those before it
    frames: list[CodedFrame] = field(default_factory=list)


class Pipeline:
    """Decodes every packet in order and segments its frame, away from the thread that pushes.

    ``sink`` gets each packet's ticket back once, with what became of it, from the network's thread
    and in the order of the frames; of packets dropped in a row those of the last MOST_TICKETS,
    with the others counted. ``wanted``, on the same thread, says what anybody wants of the next
    frame; where it returns None, frames are decoded only. What ``sink`` raises is logged.

    With ``max_latency_ms``, a frame that could not be labelled within that time of its packet's
    arrival is skipped for the newest there is, which then takes one step: its motion is composed
    with theirs. None never skips. What waits is bounded by Backlog; packets beyond ``limit`` are
    not decoded.

    Without more packets, the last pictures of a stream with B-frames stay in the decoder.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        sink: Callable[[Ticket], None],
        wanted: Callable[[], Wish | None],
        queue_size: int,
        max_latency_ms: float | None = None,
        limit: Limit = NO_FURTHER_LIMIT,
    ) -> None:
        self._segmenter = segmenter
        self._sink = sink
        self._wanted = wanted
        self._limit = limit
        self.max_latency_ms = max_latency_ms
        self._backlog = Backlog(queue_size)
        self._decoded: queue.Queue[_Decoded | Future[None] | None] = queue.Queue(DECODED_LIMIT)
        # To be made before the next frame.
        self._changes: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._pending: dict[int, Ticket] = {}
        self._notice = ""  # what packets since the last I or P frame told about those before
        self._waits = Fate.JOINING  # what a packet that waits for a key frame does
        self._behind = False  # newer frames have waited since one was late
        self._catch_up_to = 0  # the packet before whose frames all are skipped
        self._step_s = {True: 0.0, False: 0.0}  # what one takes, by whether it is for an I-frame
        self._frames_skipped = 0
        self._packets_dropped = 0
        self._threads = [
            threading.Thread(target=self._decode_all, name="decode", daemon=True),
            threading.Thread(target=self._segment_all, name="segment", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def push(self, data: bytes, format: str, header: Any, stamp_ns: int) -> None:
        """Queue one packet; a full queue is dropped whole, up to the next key frame."""
        self._backlog.push(data, format, Ticket(header, stamp_ns, time.monotonic()))

    def interrupt(self, reason: str) -> None:
        """Have what comes next wait for a key frame, and its headers: it is another stream."""
        self._backlog.interrupt(reason)

    def lose(self, reason: str) -> None:
        """Note that packets of the stream were lost before the next one."""
        self._backlog.lose(reason)

    def change(self, work: Callable[[], None]) -> "Future[None]":
        """Have something done between two frames, on the network's thread.

        That takes as long as the frame in work. Not to be called once the pipeline has stopped.
        """
        done: Future[None] = Future()
        self._changes.append((work, done))
        with suppress(queue.Full):
            self._decoded.put_nowait(done)  # to wake the thread, should it wait for a frame
        return done

    def use(self, segmenter: Segmenter) -> None:
        """Go on with another engine, which begins with a key step; called through ``change``.

        What the one before still held is labelled by it, as at the end of a stream.
        """
        self._hand_on(self._attempt(self._segmenter.flush))
        self._segmenter = segmenter
        self._step_s = {True: 0.0, False: 0.0}

    def stop(self) -> None:
        """Finish the step in work, forget the rest and join the threads."""
        self._backlog.close()
        for thread in self._threads:
            thread.join()

    # The decode thread

    def _decode_all(self) -> None:
        decoder: StreamDecoder | None = None
        try:
            while (packet := self._backlog.pop()) is not None:
                ticket = packet.ticket
                work = _Decoded(ticket, packet.number, packet.gap, packet.lost, packet.forgotten)
                try:
                    if decoder is not None and packet.gap:  # whatever comes behind it
                        if packet.gap.another:
                            decoder = self._make_decoder(decoder.codec)
                        if packet.gap.goes_on and decoder.keeps:
                            decoder.miss(packet.gap.reason)
                            work.gap = None
                        else:
                            decoder.lose(packet.gap.reason, packet.headers)
                    codec, data = packet.open()
                    if decoder is None or decoder.codec != codec:
                        decoder = self._make_decoder(codec)
                        if packet.gap:
                            decoder.lose(packet.gap.reason, packet.headers)
                        if packet.gap is None or packet.gap.goes_on:
                            work.gap = Gap(f"the stream became {codec}", Fate.JOINING)
                    started = time.perf_counter()
                    work.frames = decoder.decode(data, pts=packet.number)
                    ticket.decode_ms = (time.perf_counter() - started) * 1e3
                    ticket.intact = not decoder.fault
                    waits = decoder.fault and not (decoder.recovers or decoder.keeps)
                    if waits and all(frame.pts != packet.number for frame in work.frames):
                        headers = "" if decoder.configured else "; its headers have not come"
                        ticket.wait(Fate.WAITING, decoder.fault + headers)
                    elif decoder.left_out:
                        ticket.reason = decoder.notice
                    else:
                        work.notice = decoder.notice
                except Exception as error:
                    ticket.wait(Fate.DAMAGED, _describe(error))
                    # A packet that does not decode breaks the chain in the decoder itself.
                    known = isinstance(error, CodecError)
                    if decoder is not None and not (known and decoder.fault):
                        decoder.lose(ticket.reason)
                    ticket.waiting = decoder is None or not decoder.keeps
                ticket.caveat = decoder.caveat if decoder else ""
                self._decoded.put(work)
        finally:
            self._decoded.put(None)

    def _make_decoder(self, codec: CodecName) -> StreamDecoder:
        return StreamDecoder(codec, self._segmenter.label_broken, self._limit)

    # The network's thread

    def _segment_all(self) -> None:
        while (work := self._decoded.get()) is not None:
            while self._changes:
                _make(*self._changes.popleft())
            if isinstance(work, Future) or self._backlog.closed:
                continue
            try:
                self._segment_work(work)
            except Exception:  # the decode thread would wait for ever for this one
                _logger.exception("packet %d was not dealt with", work.number)

    def _segment_work(self, work: _Decoded) -> None:
        if work.gap:
            self._begin_anew(work.gap.reason)
            if not work.gap.goes_on or self._waits is Fate.BEHIND:
                self._waits = work.gap.fate
        self._notice = work.notice or self._notice
        self._packets_dropped += work.forgotten
        for ticket in work.lost:
            self._hand_back(ticket)
        if work.ticket.reason:
            self._hand_back(work.ticket)
        else:
            self._pending[work.number] = work.ticket
        for frame in work.frames:
            if frame.kind is not FrameKind.B:
                self._give_up_before(frame)
            self._segment(frame, work)
        # B-frames that came out already wait for the anchor after them, which is still held back.
        held_back = [number for number, ticket in self._pending.items() if ticket.kind is None]
        for number in held_back[:-PENDING_LIMIT]:
            self._finish(number, NO_PICTURE)

    def _begin_anew(self, reason: str) -> None:
        self._hand_on(self._attempt(self._segmenter.flush))
        self._segmenter.reset()
        self._notice = ""
        for number in list(self._pending):
            self._finish(number, f"{NO_PICTURE}: {reason}")

    def _give_up_before(self, frame: CodedFrame) -> None:
        """Finish the packets whose picture would be out by now, if they had one.

        Whatever is decoded before an I or P frame is also shown before it.
        """
        seen = frame.pts or 0
        reason = f"{NO_PICTURE}: {self._notice}" if self._notice else NO_PICTURE
        self._notice = ""
        for number in [n for n, t in self._pending.items() if n < seen and t.kind is None]:
            self._finish(number, reason)

    def _segment(self, frame: CodedFrame, work: _Decoded) -> None:
        """Label or skip a frame that came out of the decoder with the packet of ``work``."""
        number = frame.pts
        ticket = None if number is None else self._pending.get(number)
        if number is None or ticket is None:  # of a packet that was given up
            return
        ticket.kind, ticket.frame = frame.kind, frame
        ticket.intact = frame.intact
        labels = frame.intact or self._segmenter.label_broken
        if labels and frame.fault:
            ticket.reason = f"{BROKEN}: {frame.fault}"
        asked = self._attempt(lambda: [self._wanted()])
        if asked is None:
            return
        (wish,) = asked
        if wish is None:
            # The state would go stale; the next frame that is wanted starts a new one.
            self._segmenter.reset()
            self._finish_seen(Fate.UNWANTED, NOBODY)
        elif labels and self._is_late(frame, work):
            self._hand_on(self._attempt(lambda: self._segmenter.skip(frame)))
            # B-frames before this one wait for the next anchor; an anchor takes them with it.
            only = number if frame.kind is FrameKind.B else None
            self._finish_seen(Fate.SKIPPED, SKIPPED, only)
        else:
            self._segmenter.wish = wish
            started = time.monotonic()
            self._hand_on(self._attempt(lambda: self._segmenter.step(frame)))
            # The longest of late, which is what the next one may take.
            took_s = time.monotonic() - started
            self._step_s[frame.key] = max(took_s, 0.9 * self._step_s[frame.key])
            if self._segmenter.waiting and number in self._pending:
                ticket.wait(Fate.WAITING, self._segmenter.waiting)
                self._finish(number)

    def _is_late(self, frame: CodedFrame, work: _Decoded) -> bool:
        """Tell whether to skip a frame.

        When one would be late, all up to the newest are skipped, and so on until that one is in
        time, or none waits. It is labelled however late it is: a slow decoder shall not silence
        the node.
        What counts is the packet that a frame came out with: the wait of a picture for its turn
        among B-frames is the stream's own and makes none late.
        """
        if self.max_latency_ms is None:
            self._behind, self._catch_up_to = False, 0
            return False
        if work.number < self._catch_up_to:
            return True
        ready_s = time.monotonic() - work.ticket.arrival_s + self._step_s[frame.key]
        newer, late = work.number < self._backlog.pushed, 1e3 * ready_s > self.max_latency_ms
        caught_up = self._catch_up_to > 0
        self._behind = newer and (late or (self._behind and not caught_up))
        if frame.kind is FrameKind.B:
            return self._behind
        self._catch_up_to = 0
        if self._behind and not caught_up:
            self._catch_up_to = self._backlog.pushed
        return work.number < self._catch_up_to

    def _attempt(self, work: Callable[[], _Result]) -> _Result | None:
        """Return what the engine or its user says; when it fails, give up what it has seen."""
        try:
            return work()
        except Exception as error:  # out of memory, a device that is gone: the node stays up
            self._segmenter.reset()
            self._finish_seen(Fate.FAILED, f"the network failed: {_describe(error)}")
            return None

    def _hand_on(self, segmentations: list[Segmentation] | None) -> None:
        for segmentation in segmentations or ():
            if segmentation.pts in self._pending:
                ticket = self._pending[segmentation.pts]
                ticket.segmentation = segmentation
                ticket.fate = Fate.LABELLED if ticket.intact else Fate.BROKEN
                self._finish(segmentation.pts)

    def _finish_seen(self, fate: Fate, reason: str, only: int | None = None) -> None:
        """Finish packets whose frames came out, the B-frames before what they wait for."""
        seen = [n for n, ticket in self._pending.items() if ticket.kind is not None]
        for number in sorted(seen, key=lambda n: self._pending[n].kind is not FrameKind.B):
            if only in (None, number):
                self._pending[number].fate = fate
                self._finish(number, reason)

    def _finish(self, number: int, reason: str = "") -> None:
        ticket = self._pending.pop(number)
        ticket.reason = reason or ticket.reason
        self._hand_back(ticket)

    def _hand_back(self, ticket: Ticket) -> None:
        ticket.caveat = "; ".join(filter(None, (ticket.caveat, self._segmenter.caveat)))
        if ticket.intact or ticket.fate is Fate.DAMAGED:
            self._waits = Fate.WAITING  # what waits from here on does for what is lost
        elif ticket.fate is Fate.WAITING:
            ticket.fate = self._waits
        if ticket.dropped:
            self._packets_dropped += 1
        elif ticket.segmentation is None:
            self._frames_skipped += 1
        ticket.packets_dropped = self._packets_dropped
        ticket.frames_skipped = self._frames_skipped
        try:
            self._sink(ticket)
        except Exception:  # the others have to come back
            _logger.exception("the ticket of a packet was not taken")


def _make(change: Callable[[], None], done: "Future[None]") -> None:
    try:
        change()
        done.set_result(None)
    except Exception as error:
        done.set_exception(error)


def _describe(error: Exception) -> str:
    """Return a room's own error by its text, any other by its type, too."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
