"""From packets to labels on two threads: one decodes, one runs the network."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twnet_ros.codec import CodedFrame, FrameKind, StreamDecoder, codec_of_format
from twnet_ros.codec.bitstream import inspect_packet, is_key_picture
from twnet_ros.segment import Segmentation, Segmenter, SegmentError

# Decoded frames that wait for the network hold their pictures: few, the rest waits as packets.
DECODED_LIMIT = 2
# Packets whose pictures the decoder may hold back for reordering, in H.264.
PENDING_LIMIT = 16
# B-frames go back by a few frames; a recording that starts again goes back by more.
REWIND_NS = 500_000_000

NOBODY = "nobody subscribes to labels or masks"
NO_PICTURE = "no picture came out of this packet"


@dataclass(slots=True)
class Ticket:
    """One packet on its way through: what it brought, then what became of it."""

    header: Any  # handed back untouched
    stamp_ns: int
    arrival_s: float  # time.monotonic()
    kind: FrameKind | None = None
    intact: bool = False
    decode_ms: float = 0.0
    segmentation: Segmentation | None = None
    reason: str = ""  # why there is no segmentation
    dropped: bool = False  # never decoded, or decoded with an error
    fault: bool = False  # the reason is an error, and not merely a wait
    waiting: bool = False  # nothing is segmented until the next key frame
    # So far, this one included; with those that were segmented, these are all packets.
    frames_skipped: int = 0  # sound, but without a segmentation
    packets_dropped: int = 0


@dataclass(slots=True)
class _Packet:
    ticket: Ticket
    data: bytes
    format: str
    gap: str  # why the packets before it are missing, or the stream begins anew; "" if neither


@dataclass(slots=True)
class _Decoded:
    ticket: Ticket
    number: int  # the pts under which the ticket's frame comes out
    frames: list[CodedFrame] = field(default_factory=list)
    gap: str = ""


class Pipeline:
    """Decodes every packet in order and segments its frame, away from the thread that pushes.

    `sink` gets each packet's ticket back once, with what became of it: from the network's thread
    in the order of the frames, or from `push` itself for packets that an overflow drops.
    `wanted` says whether anybody wants labels now; without that, frames are decoded only.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        sink: Callable[[Ticket], None],
        wanted: Callable[[], bool],
        queue_size: int,
    ) -> None:
        self._segmenter = segmenter
        self._sink = sink
        self._wanted = wanted
        self._queue_size = queue_size
        self._packets: deque[_Packet] = deque()
        self._arrived = threading.Condition()
        self._stopped = False
        self._last_stamp_ns = 0
        self._decoded: queue.Queue[_Decoded | None] = queue.Queue(DECODED_LIMIT)
        self._pending: dict[int, Ticket] = {}
        self._counting = threading.Lock()
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
        ticket = Ticket(header, stamp_ns, time.monotonic())
        gap = ""
        dropped: list[_Packet] = []
        with self._arrived:
            if len(self._packets) >= self._queue_size:
                dropped = list(self._packets)
                self._packets.clear()
                gap = f"the queue of {self._queue_size} packets overflowed"
            if stamp_ns < self._last_stamp_ns - REWIND_NS:
                gap = gap or "the stamps went back"
            self._last_stamp_ns = stamp_ns
            self._packets.append(_Packet(ticket, data, format, gap))
            self._arrived.notify()
        for packet in dropped:
            _drop(packet.ticket, f"{gap}: packets come faster than they are segmented")
            self._hand_back(packet.ticket)

    def stop(self) -> None:
        """Finish the step in work, forget the rest and join the threads."""
        with self._arrived:
            self._stopped = True
            self._packets.clear()
            self._arrived.notify()
        for thread in self._threads:
            thread.join()

    # The decode thread

    def _decode_all(self) -> None:
        decoder: StreamDecoder | None = None
        number = 0
        key_sent = False  # since the stream began or broke
        while (packet := self._next_packet()) is not None:
            number += 1
            work = _Decoded(packet.ticket, number, gap=packet.gap)
            try:
                codec = codec_of_format(packet.format)
                if decoder is None or decoder.codec != codec:
                    decoder = StreamDecoder(codec)
                    work.gap = work.gap or f"the stream became {codec}"
                    key_sent = False
                elif packet.gap:
                    decoder.reset()
                    key_sent = False
                started = time.perf_counter()
                work.frames = decoder.decode(packet.data, pts=number)
                work.ticket.decode_ms = (time.perf_counter() - started) * 1e3
                key_sent = key_sent or _has_key_picture(decoder, packet.data)
                # With a key frame sent, the decoder merely holds the pictures for reordering.
                if not (work.frames or key_sent):
                    work.ticket.reason = decoder.fault or NO_PICTURE
                    work.ticket.waiting = True
            except ValueError as error:  # a CodecError, or a frame that contradicts itself
                key_sent = False
                _drop(work.ticket, str(error))
            self._decoded.put(work)
        self._decoded.put(None)

    def _next_packet(self) -> _Packet | None:
        with self._arrived:
            self._arrived.wait_for(lambda: self._packets or self._stopped)
            return None if self._stopped else self._packets.popleft()

    # The network's thread

    def _segment_all(self) -> None:
        while (work := self._decoded.get()) is not None:
            if self._stopped:
                continue
            if work.gap:
                self._begin_anew(work.gap)
            if work.ticket.reason:
                self._hand_back(work.ticket)
            else:
                self._pending[work.number] = work.ticket
            for frame in work.frames:
                if frame.kind is not FrameKind.B:
                    self._give_up_before(frame)
                self._segment(frame)
            while len(self._pending) > PENDING_LIMIT:
                self._finish(next(iter(self._pending)), NO_PICTURE)

    def _begin_anew(self, reason: str) -> None:
        for number in list(self._pending):
            self._finish(number, f"{NO_PICTURE}: {reason}")
        self._segmenter.reset()

    def _give_up_before(self, frame: CodedFrame) -> None:
        """Finish the packets whose picture would be out by now, if they had one.

        Whatever is decoded before an I or P frame is also shown before it.
        """
        for number in [n for n in self._pending if frame.pts is not None and n < frame.pts]:
            self._finish(number, NO_PICTURE)

    def _segment(self, frame: CodedFrame) -> None:
        number = frame.pts
        ticket = None if number is None else self._pending.get(number)
        if number is None or ticket is None:  # of a packet that was given up
            return
        ticket.kind = frame.kind
        ticket.intact = frame.intact
        if not self._wanted():
            # The state would go stale; the next frame that is wanted starts a new one.
            self._segmenter.reset()
            self._finish(number, NOBODY)
            return
        try:
            segmentations = self._segmenter.step(frame)
        except SegmentError as error:
            self._fail(number, str(error))
            return
        except Exception as error:  # out of memory, a device that is gone: the node stays up
            self._fail(number, f"{type(error).__name__}: {error}")
            return
        for segmentation in segmentations:
            if segmentation.pts in self._pending:
                self._pending[segmentation.pts].segmentation = segmentation
                self._finish(segmentation.pts)
        if self._segmenter.waiting and number in self._pending:
            ticket.waiting = True
            self._finish(number, self._segmenter.waiting)

    def _fail(self, number: int, reason: str) -> None:
        self._segmenter.reset()
        self._pending[number].fault = True
        self._finish(number, f"the network failed: {reason}")

    def _finish(self, number: int, reason: str = "") -> None:
        ticket = self._pending.pop(number)
        ticket.reason = reason
        self._hand_back(ticket)

    def _hand_back(self, ticket: Ticket) -> None:
        with self._counting:
            if ticket.dropped:
                self._packets_dropped += 1
            elif ticket.segmentation is None:
                self._frames_skipped += 1
            ticket.packets_dropped = self._packets_dropped
            ticket.frames_skipped = self._frames_skipped
        self._sink(ticket)


def _drop(ticket: Ticket, reason: str) -> None:
    ticket.reason = reason
    ticket.dropped = ticket.fault = ticket.waiting = True


def _has_key_picture(decoder: StreamDecoder, data: bytes) -> bool:
    offset = inspect_packet(decoder.codec, data).picture
    return offset >= 0 and is_key_picture(decoder.codec, data, offset)
