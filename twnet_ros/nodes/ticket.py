"""One packet on its way through the node."""

from dataclasses import dataclass
from typing import Any

from twnet_ros.codec import CodedFrame, FrameKind
from twnet_ros.segment import Segmentation


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
    reason: str = ""  # why there is no segmentation, or one of a broken chain
    caveat: str = ""  # what of the stream is approximate or costs more
    dropped: bool = False  # never decoded, or decoded with an error
    fault: bool = False  # the reason is an error, and not merely a wait
    waiting: bool = False  # nothing is segmented until the next key frame
    # So far, this one included; with those that were segmented, these are all packets.
    frames_skipped: int = 0  # sound, but without a segmentation
    packets_dropped: int = 0

    def drop(self, reason: str) -> None:
        """Note that the packet is lost, and all that follows it up to the next key frame."""
        self.reason = reason
        self.dropped = self.fault = self.waiting = True
