"""What became of the packets of the last seconds, counted and timed."""

import math
import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from twnet_ros.msg import FrameStatus
from twnet_ros.nodes.ticket import Fate, Ticket

LABELLED = (Fate.LABELLED, Fate.BROKEN)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The last seconds, as they are now; a pair of times holds the 50th and 95th percentile."""

    arriving_hz: float
    labelled_hz: float
    settled: bool  # packets have been coming for as long as the rates are taken over
    fates: Counter[Fate]
    reasons: dict[Fate, str]  # the newest of each
    decode_ms: tuple[float, float]  # of packets whose picture came out
    inference_ms: tuple[float, float]
    total_ms: tuple[float, float]  # from packet to labels
    # Whatever their time:
    begun: bool  # a packet has come
    silent_s: float  # since the last packet, or since the watch began
    stuck_s: float  # since a packet was handed back, or the first of these came
    inside: int  # packets that have come and not been handed back
    newest: Fate | None
    reason: str  # why the newest packet has no labels, or some of a broken chain
    intact: bool  # the reference chain of the newest
    unlabelled_s: float | None  # since when labels are wanted and missing; None: they are not
    stamp_age_ms: float  # of the newest labels; NaN without a stamp or labels
    arrival_age_ms: float
    frames_since_key: int | None
    reordered: bool  # B-frames are among those labelled
    caveat: str
    packets_dropped: int
    frames_skipped: int

    @property
    def packets(self) -> int:
        """How many were handed back in the last seconds."""
        return self.fates.total()


@dataclass(frozen=True, slots=True)
class _Seen:
    at_s: float
    fate: Fate
    status: FrameStatus  # and not the ticket, which holds the picture and its labels


class Watch:
    """Takes what becomes of each packet, from any thread; times are those of time.monotonic.

    Rates are over ``window_s`` seconds, or since the first packet: that of a stream which begins,
    or begins anew after a silence of that length.
    """

    def __init__(self, window_s: float, now_s: float) -> None:
        self.window_s = window_s
        self._lock = threading.Lock()
        self._began_s = self._arrived_s = self._handed_back_s = now_s
        self._begun = False
        self._arrivals: deque[float] = deque()
        self._seen: deque[_Seen] = deque()
        self._newest: _Seen | None = None
        self._labelled: _Seen | None = None
        self._inside = self._arrived = self._segmented = 0
        self._unlabelled_s: float | None = None  # since when

    def arrive(self, now_s: float) -> None:
        """Note that a packet has come."""
        with self._lock:
            if not self._begun or now_s - self._arrived_s >= self.window_s:
                self._began_s, self._begun = now_s, True
                self._unlabelled_s = None
            self._arrived_s = now_s
            self._arrivals.append(now_s)
            self._arrived += 1
            self._inside += 1
            self._forget(now_s)

    def take(self, ticket: Ticket, status: FrameStatus, now_s: float) -> None:
        """Note what became of a packet: its ticket, and the status that was made of it now."""
        with self._lock:
            seen = _Seen(now_s, ticket.fate, status)
            self._newest, self._handed_back_s = seen, now_s
            self._segmented += ticket.segmentation is not None
            # Of a flood that is dropped not every packet has a ticket, but every one is counted.
            handed_back = self._segmented + ticket.packets_dropped + ticket.frames_skipped
            self._inside = self._arrived - handed_back
            if seen.fate in LABELLED:
                self._labelled = seen
            if seen.fate in (*LABELLED, Fate.UNWANTED):
                self._unlabelled_s = None
            elif self._unlabelled_s is None:
                self._unlabelled_s = now_s
            self._seen.append(seen)
            self._forget(now_s)

    def _forget(self, now_s: float) -> None:
        while self._arrivals and self._arrivals[0] <= now_s - self.window_s:
            self._arrivals.popleft()
        while self._seen and self._seen[0].at_s <= now_s - self.window_s:
            self._seen.popleft()

    def snapshot(self, now_s: float) -> Snapshot:
        """Return what is known now."""
        with self._lock:
            self._forget(now_s)
            labelled = [seen.status for seen in self._seen if seen.fate in LABELLED]
            decoded = [seen.status for seen in self._seen if _has_picture(seen.status)]
            span_s = min(self.window_s, now_s - self._began_s)
            newest = self._newest.status if self._newest else FrameStatus(chain_intact=True)
            labels = self._labelled.status if self._labelled else None
            since_ms = 1e3 * (now_s - self._labelled.at_s) if self._labelled else math.nan
            return Snapshot(
                arriving_hz=len(self._arrivals) / span_s if span_s > 0 else 0.0,
                labelled_hz=len(labelled) / span_s if span_s > 0 else 0.0,
                settled=self._begun and now_s - self._began_s >= self.window_s,
                fates=Counter(seen.fate for seen in self._seen),
                reasons={seen.fate: seen.status.reason for seen in self._seen},
                decode_ms=_percentiles(status.decode_ms for status in decoded),
                inference_ms=_percentiles(status.inference_ms for status in labelled),
                total_ms=_percentiles(status.total_ms for status in labelled),
                begun=self._begun,
                silent_s=now_s - self._arrived_s,
                stuck_s=now_s - max(self._handed_back_s, self._began_s),
                inside=self._inside,
                newest=self._newest.fate if self._newest else None,
                reason=newest.reason,
                intact=newest.chain_intact,
                unlabelled_s=None if self._unlabelled_s is None else now_s - self._unlabelled_s,
                stamp_age_ms=labels.age_ms + since_ms if labels else math.nan,
                arrival_age_ms=labels.total_ms + since_ms if labels else math.nan,
                frames_since_key=labels.frames_since_key if labels else None,
                reordered=any(s.frame_type == FrameStatus.FRAME_B for s in labelled),
                caveat=newest.caveat,
                packets_dropped=newest.packets_dropped,
                frames_skipped=newest.frames_skipped,
            )


def _has_picture(status: FrameStatus) -> bool:
    return bool(status.frame_type != FrameStatus.FRAME_UNKNOWN)


def _percentiles(times_ms: Iterable[float]) -> tuple[float, float]:
    """Return the 50th and the 95th percentile, NaN of nothing."""
    times = list(times_ms)
    if not times:
        return math.nan, math.nan
    p50, p95 = np.percentile(times, [50, 95])
    return float(p50), float(p95)
