"""The packets that wait for the decoder, in the order they came."""

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median_low

from twnet_ros.codec import CodecError, codec_of_format
from twnet_ros.codec.bitstream import CodecName, headers_of
from twnet_ros.codec.payload import annexb_payload
from twnet_ros.nodes.ticket import Fate, Ticket

QUEUE_BYTES = 1 << 26  # of all that wait together
# To hand each of a flood back would take longer than the flood, and starve what comes after it.
MOST_TICKETS = 256  # of packets dropped in a row; the others are counted
# Stamps of B-frames go back by a few frames; those of a recording that starts again by more: by
# this time, or where frames are seldom, by as many as may be reordered.
REORDERED_PACKETS = 16
REORDERED_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Gap:
    """What is missing between two packets."""

    reason: str
    fate: Fate  # of packets behind it that wait for a key frame
    another: bool = False  # the stream behind it: headers from before are none of its own

    @property
    def goes_on(self) -> bool:
        """Decoding may go on behind it: it is the same stream, with few packets missing."""
        return self.fate is Fate.WAITING


@dataclass(slots=True)
class Waiting:
    """A packet, and what is known of those before it that are missing."""

    ticket: Ticket
    number: int  # counts all packets from 1; the pts under which its frame comes out
    data: bytes
    format: str
    gap: Gap | None = None  # in front of it
    lost: list[Ticket] = field(default_factory=list)  # of those that are missing, the last ones
    forgotten: int = 0  # of those that are missing, the others
    headers: bytes = b""  # the last ones found in those of its own stream

    def open(self) -> tuple[CodecName, bytes]:
        """Return the codec, and the data with start codes; CodecError for what is no video."""
        codec = codec_of_format(self.format)
        return codec, annexb_payload(codec, self.data)

    def own_headers(self) -> bytes:
        """Return the headers in the data, b"" for none."""
        try:
            return headers_of(*self.open())
        except CodecError:
            return b""


class Backlog:
    """A queue between the thread that receives and the one that decodes.

    Bounded by ``size`` packets and QUEUE_BYTES. What does not fit drops all that waits, up to the
    next key frame: a stream that has lost one packet cannot do without the others. Of those
    dropped in a row the last MOST_TICKETS tickets are kept, the others counted.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._packets: deque[Waiting] = deque()
        self._bytes = 0
        self._arrived = threading.Condition()
        self._gap: Gap | None = None  # in front of the next packet
        self._stamps_ns: deque[int] = deque(maxlen=REORDERED_PACKETS)
        self.pushed = 0  # packets so far
        self.closed = False

    def push(self, data: bytes, format: str, ticket: Ticket) -> None:
        """Add a packet at the end."""
        with self._arrived:
            self.pushed += 1
            packet = Waiting(ticket, self.pushed, data, format, self._gap)
            self._gap = None
            back = self._goes_back(ticket.stamp_ns)
            if back and not _is_another(packet):
                packet.gap = Gap("the stamps went back", Fate.JOINING)
            self._bytes += len(data)
            if self._packets and (full := self._overflow()):
                self._drop_all(packet, f"{full} overflowed")
            self._packets.append(packet)
            self._arrived.notify()

    def interrupt(self, reason: str) -> None:
        """Have what comes next wait for a key frame, and its headers: it is another stream."""
        with self._arrived:
            self._gap = Gap(reason, Fate.JOINING, another=True)

    def lose(self, reason: str) -> None:
        """Note that packets of the stream are missing in front of the next one."""
        with self._arrived:
            self._gap = self._gap or Gap(reason, Fate.WAITING)

    def pop(self) -> Waiting | None:
        """Wait for the oldest packet and take it; None once the queue is closed."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._packets or self.closed)
            if self.closed:
                return None
            packet = self._packets.popleft()
            self._bytes -= len(packet.data)
            return packet

    def close(self) -> None:
        """Forget what waits; nothing comes out any more."""
        with self._arrived:
            self.closed = True
            self._packets.clear()
            self._arrived.notify()

    def _overflow(self) -> str:
        """Say which bound the newest packet passes; '' for none."""
        if len(self._packets) >= self._size:
            return f"the queue of {self._size} packets"
        if self._bytes > QUEUE_BYTES:
            return f"the queue of {QUEUE_BYTES >> 20} MiB"
        return ""

    def _drop_all(self, packet: Waiting, reason: str) -> None:
        """Drop what waits in favour of a packet, which takes over what is known of it."""
        another = False
        for lost in self._packets:
            lost.ticket.wait(
                Fate.OVERFLOWED, f"{reason}: packets come faster than they are segmented"
            )
            packet.lost += [*lost.lost, lost.ticket]
            packet.forgotten += lost.forgotten
            if _is_another(lost):
                another, packet.headers = True, b""
            if lost.format == packet.format:
                packet.headers = lost.own_headers() or lost.headers or packet.headers
        if _is_another(packet):
            another, packet.headers = True, b""
        packet.gap = Gap(reason, Fate.BEHIND, another)
        excess = max(0, len(packet.lost) - MOST_TICKETS)
        packet.forgotten += excess
        del packet.lost[:excess]
        self._packets.clear()
        self._bytes = len(packet.data)

    def _goes_back(self, stamp_ns: int) -> bool:
        """Tell whether a stamp goes back by more than reordering explains; 0 is no stamp."""
        if not stamp_ns:
            return False
        stamps = self._stamps_ns
        back = False
        if stamps:
            oldest, newest = min(stamps), max(stamps)
            reach_ns = max(REORDERED_NS, (REORDERED_PACKETS + 1) * _step_ns(stamps))
            # What is shown before all others comes right behind the first of them.
            led = newest == stamps[0] or newest - stamp_ns <= REORDERED_NS
            back = (
                newest - stamp_ns > reach_ns
                or (stamp_ns <= oldest and not led)
                or (stamp_ns < oldest and len(stamps) == REORDERED_PACKETS)
            )
        if back:
            stamps.clear()
        stamps.append(stamp_ns)
        return back


def _is_another(packet: Waiting) -> bool:
    return packet.gap is not None and packet.gap.another


def _step_ns(stamps_ns: Collection[int]) -> int:
    """Return the usual time from one frame to the next, 0 for a single one."""
    steps = [after - before for before, after in pairwise(sorted(stamps_ns))]
    return median_low(steps) if steps else 0
