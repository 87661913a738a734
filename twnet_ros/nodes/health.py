"""How a stream is doing: the video, the load and the device, for a person who has to act on it."""

import enum
import math
from collections.abc import Iterator
from dataclasses import dataclass

from twnet_ros.nodes.pipeline import PENDING_LIMIT
from twnet_ros.nodes.ticket import Fate
from twnet_ros.nodes.watch import LABELLED, Snapshot

WAITS = (Fate.JOINING, Fate.WAITING, Fate.BEHIND)  # for a key frame
NO_LEAVES = "send no B-frames, which wait for later ones; or "
MORE_KEY_FRAMES = "have key frames sent more often, and headers with each"
RELIEF = "lower the video's rate or size, or take a smaller input_size or a cheaper model"


class Level(enum.IntEnum):
    """As diagnostic_msgs/DiagnosticStatus counts them."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a stream stops being well."""

    stale_s: float  # without a packet, or without labels that somebody wants
    min_rate_hz: float  # of packets, and of labelled frames
    latency_warn_ms: float  # from packet to labels, 95th percentile
    latency_error_ms: float
    lost_share: float  # of packets: any that is lost is a WARN, more than this an ERROR


@dataclass(frozen=True, slots=True)
class DeviceState:
    """Where the network runs now."""

    name: str  # cpu, cuda:0, …
    precision: str
    model: str
    caveat: str = ""  # what is not as it was asked for
    fault: str = ""  # why the device does not answer
    used_bytes: int | None = None  # of a GPU's memory, by tensors; None on a CPU
    reserved_bytes: int | None = None  # the same, with what is kept for the next ones


@dataclass(frozen=True, slots=True)
class Status:
    """One judgement, with the numbers that it rests on."""

    task: str
    level: Level
    message: str
    values: dict[str, str]


_Finding = tuple[Level, str]


# Is the video well?


def judge_stream(seen: Snapshot, limits: Limits, topic: str, publishers: int = 1) -> Status:
    """Judge what comes in, and whether labels can come of it; ``publishers`` of the topic."""
    values = {
        "packets (Hz)": f"{seen.arriving_hz:.1f}",
        "labelled frames (Hz)": f"{seen.labelled_hz:.1f}",
        "age of the newest labels since their stamp (ms)": f"{seen.stamp_age_ms:.1f}",
        "age of the newest labels since their packet (ms)": f"{seen.arrival_age_ms:.1f}",
        "frames since the last key step": _count(seen.frames_since_key),
        "reference chain": "intact" if seen.intact else "broken",
        "packets that waited for a key frame": str(sum(seen.fates[fate] for fate in WAITS)),
        "packets that did not decode": str(seen.fates[Fate.DAMAGED]),
        "what became of the newest packet": seen.reason or ("labelled" if seen.newest else ""),
        "caveat": seen.caveat,
        "publishers": str(publishers),
    }
    fine = f"{seen.arriving_hz:.1f} packets and {seen.labelled_hz:.1f} labelled frames a second"
    if not seen.begun:
        fine = f"waiting for the first packet on {topic}"
    elif seen.newest is Fate.UNWANTED:
        fine = f"{seen.arriving_hz:.1f} packets a second: {seen.reason}"
    return _judge("stream", _stream_findings(seen, limits, topic, publishers), fine, values)


def _stream_findings(
    seen: Snapshot, limits: Limits, topic: str, publishers: int
) -> Iterator[_Finding]:
    if publishers > 1:
        yield Level.WARN, f"{publishers} publishers on {topic}: have one alone publish there"
    if seen.silent_s >= limits.stale_s:
        yield (
            Level.STALE,
            f"no packet on {topic} for {seen.silent_s:.1f} s: "
            "see whether it is published as video, and with a QoS that matches",
        )
        return  # the rest is of the past
    waits = seen.newest in WAITS
    if seen.unlabelled_s is not None and (waits or seen.newest in (Fate.DAMAGED, Fate.EMPTY)):
        text = f"no labels for {seen.unlabelled_s:.1f} s: {seen.reason}"
        if seen.unlabelled_s >= limits.stale_s:
            yield Level.ERROR, text + (f": {MORE_KEY_FRAMES}" if waits else "")
        elif waits:
            yield Level.WARN, text
    damaged, waited = seen.fates[Fate.DAMAGED], seen.fates[Fate.WAITING]
    if damaged + waited:
        text = f"{damaged + waited} of {seen.packets} packets without labels: "
        text += f"{waited} waited for a key frame after a loss"
        text += f" ({seen.reasons[Fate.WAITING]})" if waited else ""
        text += f", {damaged} did not decode"
        text += f" ({seen.reasons[Fate.DAMAGED]})" if damaged else ""
        yield _loss(damaged + waited, seen, limits), f"{text}: see to the sender and the link"
    if broken := seen.fates[Fate.BROKEN]:
        yield Level.WARN, f"{broken} frames labelled although their reference chain is broken"
    if seen.settled and seen.arriving_hz < limits.min_rate_hz:
        yield (
            Level.WARN,
            f"{seen.arriving_hz:.1f} packets a second, fewer than {limits.min_rate_hz:g}: "
            "see what slows the camera or the link down",
        )


# Does the machine keep up?


def judge_load(seen: Snapshot, limits: Limits, latency_bound_ms: float | None) -> Status:
    """Judge how fast labels come; with a bound, frames that would be later are skipped."""
    bound_ms = math.inf if latency_bound_ms is None else latency_bound_ms
    values = {
        "packets dropped by a full queue": str(seen.fates[Fate.OVERFLOWED]),
        "frames skipped for newer ones": str(seen.fates[Fate.SKIPPED]),
        "packets dropped since activation": str(seen.packets_dropped),
        "frames without labels since activation": str(seen.frames_skipped),
        **_times("decoding", seen.decode_ms),
        **_times("inference", seen.inference_ms),
        **_times("packet to labels", seen.total_ms),
        "latency bound (ms)": f"{bound_ms:.1f}",
    }
    fine = "no frame was labelled lately"
    if any(seen.fates[fate] for fate in LABELLED):
        fine = f"{seen.total_ms[1]:.0f} ms from packet to labels (p95)"
        if skipped := seen.fates[Fate.SKIPPED]:
            fine += f", {skipped} of {seen.packets} frames skipped"
    return _judge("load", _load_findings(seen, limits), fine, values)


def _load_findings(seen: Snapshot, limits: Limits) -> Iterator[_Finding]:
    # What waits for its turn among B-frames is no backlog.
    if seen.inside > PENDING_LIMIT and seen.stuck_s >= limits.stale_s:
        yield (
            Level.ERROR,
            f"{seen.inside} packets wait, and none was dealt with for {seen.stuck_s:.1f} s: "
            "the decoder or the device hangs",
        )
    overflowed, behind = seen.fates[Fate.OVERFLOWED], seen.fates[Fate.BEHIND]
    if overflowed + behind:
        text = f"{overflowed} of {seen.packets} packets dropped by a full queue"
        text += f", and {behind} behind it up to a key frame" if behind else ""
        yield _loss(overflowed + behind, seen, limits), f"{text}: {RELIEF}"
    p95_ms = seen.total_ms[1]
    if p95_ms > min(limits.latency_warn_ms, limits.latency_error_ms):
        level = Level.ERROR if p95_ms > limits.latency_error_ms else Level.WARN
        advice = NO_LEAVES + RELIEF if seen.reordered else RELIEF
        yield level, f"{p95_ms:.0f} ms from packet to labels (p95): {advice}"
    # Where labels are missing for another reason, that is found elsewhere.
    busy = set(seen.fates) <= {*LABELLED, Fate.SKIPPED, Fate.EMPTY}
    if seen.settled and busy and seen.labelled_hz < limits.min_rate_hz <= seen.arriving_hz:
        yield (
            Level.WARN,
            f"{seen.labelled_hz:.1f} of {seen.arriving_hz:.1f} frames a second labelled, fewer "
            f"than {limits.min_rate_hz:g}: {RELIEF}",
        )


# Is the device well?


def judge_device(seen: Snapshot, device: DeviceState, resident_bytes: int) -> Status:
    """Judge where the network runs; ``resident_bytes`` is the process's memory."""
    values = {
        "device": device.name,
        "precision": device.precision,
        "model": device.model,
        "device memory in use (MiB)": _mebibytes(device.used_bytes),
        "device memory reserved (MiB)": _mebibytes(device.reserved_bytes),
        "process memory (MiB)": _mebibytes(resident_bytes),
    }
    fine = f"{device.model} on {device.name} in {device.precision}"
    return _judge("device", _device_findings(seen, device), fine, values)


def _device_findings(seen: Snapshot, device: DeviceState) -> Iterator[_Finding]:
    if device.fault:
        yield Level.ERROR, device.fault
    if failed := seen.fates[Fate.FAILED]:
        yield Level.ERROR, f"{failed} frames failed: {seen.reasons[Fate.FAILED]}"
    if device.caveat:
        yield Level.WARN, device.caveat


# What the judgements share


def _judge(task: str, found: Iterator[_Finding], fine: str, values: dict[str, str]) -> Status:
    """Return the worst level and everything that was found, the worst first."""
    findings = sorted(found, key=lambda finding: -finding[0])
    if not findings:
        return Status(task, Level.OK, fine, values)
    return Status(task, findings[0][0], "; ".join(text for _, text in findings), values)


def _loss(lost: int, seen: Snapshot, limits: Limits) -> Level:
    return Level.ERROR if lost > limits.lost_share * seen.packets else Level.WARN


def _times(name: str, percentiles_ms: tuple[float, float]) -> dict[str, str]:
    p50, p95 = percentiles_ms
    return {f"{name}, p50 (ms)": f"{p50:.1f}", f"{name}, p95 (ms)": f"{p95:.1f}"}


def _count(count: int | None) -> str:
    return "nan" if count is None else str(count)


def _mebibytes(count: int | None) -> str:
    return _count(None if count is None else count >> 20)
