"""One packet on its way through the node."""

import enum
from dataclasses import dataclass
from typing import Any

from twnet_ros.codec import CodedFrame, FrameKind
from twnet_ros.segment import Segmentation


class Fate(enum.Enum):
    """What becomes of a packet."""

    LABELLED = enum.auto()
    BROKEN = enum.auto()  # labelled, although the reference chain is broken
    SKIPPED = enum.auto()  # for a newer frame
    UNWANTED = enum.auto()
    JOINING = enum.auto()  # waits for the first key frame of a stream
    WAITING = enum.auto()  # for another key frame, after a loss
    BEHIND = enum.auto()  # waits for a key frame, after a queue that overflowed
    DAMAGED = enum.auto()
    OVERFLOWED = enum.auto()
    FAILED = enum.auto()  # in the network, or when it was published
    EMPTY = enum.auto()  # no picture came out


@dataclass(slots=True)
class Ticket:
    """One packet on its way through: what it brought, then what became of it."""

    header: Any  # handed back untouched
    stamp_ns: int
    arrival_s: float  # time.monotonic()
    kind: FrameKind | None = None
    frame: CodedFrame | None = None  # of the packet, as soon as it is decoded
    intact: bool = False
    decode_ms: float = 0.0
    segmentation: Segmentation | None = None
    fate: Fate = Fate.EMPTY
    reason: str = ""  # why there is no segmentation, or one of a broken chain
    caveat: str = ""  # what of the stream is approximate or costs more
    waiting: bool = False  # nothing is segmented until the next key frame
    # So far, this one included; with those that were segmented, these are all packets.
    frames_skipped: int = 0  # sound, but without a segmentation
    packets_dropped: int = 0

    @property
    def dropped(self) -> bool:
        """Never decoded, or decoded with an error."""
        return self.fate in (Fate.DAMAGED, Fate.OVERFLOWED)

    @property
    def fault(self) -> bool:
        """The reason is an error, and not merely a wait."""
        return self.dropped or self.fate is Fate.FAILED

    def wait(self, fate: Fate, reason: str) -> None:
        """Note that there are no labels, nor any of what follows, up to the next key frame.

        Where broken frames are labelled, too, ``waiting`` ends with the packet.
        """
        self.fate, self.reason, self.waiting = fate, reason, True
