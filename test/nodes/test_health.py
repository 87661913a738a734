"""Tickets in, judgements out: what an operator is told, and how gravely."""

import math
from dataclasses import replace

import numpy as np
import pytest

from twnet_ros.codec import FrameKind
from twnet_ros.nodes.conversion import status_message
from twnet_ros.nodes.health import (
    DeviceState,
    Level,
    Limits,
    judge_device,
    judge_load,
    judge_stream,
)
from twnet_ros.nodes.pipeline import BROKEN, NO_PICTURE, NOBODY, PENDING_LIMIT
from twnet_ros.nodes.ticket import Fate, Ticket
from twnet_ros.nodes.watch import Watch
from twnet_ros.segment import Path, Segmentation

BEGIN_S = 1000.0
LIMITS = Limits(
    stale_s=2.0,
    min_rate_hz=5.0,
    latency_warn_ms=300.0,
    latency_error_ms=1000.0,
    lost_share=0.1,
)
DEVICE = DeviceState("cpu", "bf16", "streets")
WAITING = {
    "fate": Fate.WAITING,
    "reason": "waiting for a key frame: lost packets",
    "waiting": True,
}
DAMAGED = {"fate": Fate.DAMAGED, "reason": "cut off", "waiting": True}
FULL = "the queue of 30 packets overflowed"
OVERFLOWED = {"fate": Fate.OVERFLOWED, "reason": FULL, "waiting": True}
FAILED = {"fate": Fate.FAILED, "reason": "the network failed: MemoryError: ", "intact": True}
UNWANTED = {"fate": Fate.UNWANTED, "reason": NOBODY, "intact": True}
SKIPPED = {"fate": Fate.SKIPPED, "reason": "skipped for a newer frame", "intact": True}


class Drive:
    """Packets that come and are handed back as time goes on; a tick is exact at 10 and 30 Hz."""

    TICK_S = 1 / 6000

    def __init__(self):
        self.ticks = 0
        self.watch = Watch(5.0, self.now_s)
        self.under_way = []  # tickets and when they are handed back
        self.distance = -1
        self.skipped = self.dropped = 0

    @property
    def now_s(self):
        return BEGIN_S + self.ticks * self.TICK_S

    def wait(self, seconds):
        end = self.ticks + round(seconds / self.TICK_S)
        self.under_way.sort(key=lambda entry: entry[0])
        while self.under_way and self.under_way[0][0] < end:
            self.ticks, ticket = self.under_way.pop(0)
            age_ms = 20.0 + 1e3 * (self.now_s - ticket.arrival_s)  # after 20 ms in the camera
            now_ns = 7_000_000_000 + round(age_ms * 1e6)
            self.watch.take(ticket, status_message(ticket, now_ns, self.now_s), self.now_s)
        self.ticks = end

    def packet(self, latency_ms=50.0, labelled=True, stamped=True, **fields):
        fields = {"intact": labelled, "kind": FrameKind.P if labelled else None} | fields
        ticket = Ticket(None, 7_000_000_000 if stamped else 0, self.now_s, **fields)
        ticket.decode_ms = 0.0 if ticket.dropped else 5.0
        self.distance = self.distance + 1 if labelled else -1
        if labelled:
            ticket.fate = Fate.LABELLED if ticket.intact else Fate.BROKEN
            path = Path.NONKEY if self.distance else Path.KEY
            times_ms = {"input": 2.0, "network": 30.0, "output": 3.0}
            ticket.segmentation = Segmentation(
                np.zeros((2, 2), np.uint8), 0, 0, FrameKind.P, path, self.distance, times_ms
            )
        self.skipped += not (labelled or ticket.dropped)
        self.dropped += ticket.dropped
        ticket.frames_skipped, ticket.packets_dropped = self.skipped, self.dropped
        self.watch.arrive(self.now_s)
        self.under_way.append((self.ticks + round(latency_ms / 1e3 / self.TICK_S), ticket))

    def go(self, rate_hz, count, every=None, **fields):
        """So many packets, or only each ``every``-th labelled and the others with the fields."""
        for number in range(count):
            if every is None:
                self.packet(**fields)
            elif number % every:
                self.packet(labelled=False, **fields)
            else:
                self.packet()
            self.wait(1 / rate_hz)

    def snapshot(self):
        """Of just before now, so that no rounding decides what is in the window."""
        return self.watch.snapshot(self.now_s - 1e-6)

    def stream(self):
        return judge_stream(self.snapshot(), LIMITS, "/video")

    def load(self):
        return judge_load(self.snapshot(), LIMITS, 200.0)

    def device(self, device=DEVICE):
        return judge_device(self.snapshot(), device, 300 << 20)

    def levels(self):
        return [status.level for status in (self.stream(), self.load(), self.device())]


@pytest.fixture
def drive():
    return Drive()


OK, WARN, ERROR, STALE = Level


@pytest.mark.parametrize("rate_hz", [10, 30])
def test_a_camera_whose_frames_are_all_labelled_is_well(drive, rate_hz):
    drive.go(rate_hz, 8 * rate_hz)
    stream, load, device = drive.stream(), drive.load(), drive.device()
    assert [stream.level, load.level, device.level] == [OK, OK, OK]
    assert stream.task == "stream"
    assert stream.message == f"{rate_hz:.1f} packets and {rate_hz:.1f} labelled frames a second"
    since_ms = {10: 50.0, 30: 1000 / 60}[rate_hz]  # from the newest labels to now
    assert stream.values == {
        "packets (Hz)": f"{rate_hz:.1f}",
        "labelled frames (Hz)": f"{rate_hz:.1f}",
        "age of the newest labels since their stamp (ms)": f"{70 + since_ms:.1f}",
        "age of the newest labels since their packet (ms)": f"{50 + since_ms:.1f}",
        "frames since the last key step": {10: "79", 30: "238"}[rate_hz],  # one is under way
        "reference chain": "intact",
        "packets that waited for a key frame": "0",
        "packets that did not decode": "0",
        "what became of the newest packet": "labelled",
        "caveat": "",
        "publishers": "1",
    }
    assert (load.task, load.message) == ("load", "50 ms from packet to labels (p95)")
    assert load.values == {
        "packets dropped by a full queue": "0",
        "frames skipped for newer ones": "0",
        "packets dropped since activation": "0",
        "frames without labels since activation": "0",
        "decoding, p50 (ms)": "5.0",
        "decoding, p95 (ms)": "5.0",
        "inference, p50 (ms)": "35.0",
        "inference, p95 (ms)": "35.0",
        "packet to labels, p50 (ms)": "50.0",
        "packet to labels, p95 (ms)": "50.0",
        "latency bound (ms)": "200.0",
    }
    assert (device.task, device.message) == ("device", "streets on cpu in bf16")
    assert device.values == {
        "device": "cpu",
        "precision": "bf16",
        "model": "streets",
        "device memory in use (MiB)": "nan",
        "device memory reserved (MiB)": "nan",
        "process memory (MiB)": "300",
    }


def test_several_publishers_are_one_too_many(drive):
    drive.go(10, 80)
    stream = judge_stream(drive.snapshot(), LIMITS, "/video", publishers=2)
    assert stream.level == WARN and stream.values["publishers"] == "2"
    assert stream.message == "2 publishers on /video: have one alone publish there"


def test_keys_stay_the_same_whatever_happens(drive):
    def keys():
        return [list(status.values) for status in (drive.stream(), drive.load(), drive.device())]

    before = keys()
    drive.go(10, 30, caveat="several references")
    drive.go(10, 30, labelled=False, **DAMAGED)
    assert keys() == before


# The video


def test_before_the_first_packet_it_waits_and_then_goes_stale(drive):
    drive.wait(1.9)
    assert drive.levels() == [OK, OK, OK]
    assert drive.stream().message == "waiting for the first packet on /video"
    assert drive.stream().values["what became of the newest packet"] == ""
    drive.wait(0.2)
    assert drive.levels() == [STALE, OK, OK]
    assert "no packet on /video for 2.1 s: see whether it is published" in drive.stream().message


def test_without_packets_it_goes_stale_and_is_well_again_with_the_next(drive):
    drive.go(10, 60)
    drive.wait(1.8)  # a tenth of a second after the last already
    assert drive.stream().level is OK
    drive.wait(0.2)
    assert drive.levels() == [STALE, OK, OK]
    drive.wait(10)
    drive.go(10, 2)
    assert drive.levels() == [OK, OK, OK]  # rates of the time before do not count
    assert drive.stream().values["packets (Hz)"] == "10.0"


def test_nothing_but_the_silence_is_said_in_a_silence(drive):
    drive.go(2, 20, every=2, **WAITING)
    drive.wait(2)
    stream = drive.stream()
    assert stream.level is STALE and ";" not in stream.message


def test_labels_that_nobody_wants_are_no_fault(drive):
    drive.go(10, 60, labelled=False, **UNWANTED)
    assert drive.levels() == [OK, OK, OK]
    assert drive.stream().message == f"10.0 packets a second: {NOBODY}"
    drive.go(10, 10)  # and somebody comes
    assert drive.levels() == [OK, OK, OK]


def test_slow_packets_are_the_streams_fault_and_not_the_loads(drive):
    drive.go(4, 40)
    assert drive.levels() == [WARN, OK, OK]
    assert "4.0 packets a second, fewer than 5" in drive.stream().message


def test_rates_are_judged_when_they_have_been_measured_for_as_long(drive):
    drive.go(4, 20)
    assert drive.stream().level is OK
    drive.go(4, 1)
    assert drive.stream().level is WARN


def test_a_stream_that_is_joined_midway_is_an_error_only_if_no_key_frame_comes(drive):
    joining = WAITING | {"fate": Fate.JOINING}
    drive.go(10, 19, labelled=False, **joining)
    stream = drive.stream()
    assert stream.level is WARN
    assert stream.message == f"no labels for 1.8 s: {WAITING['reason']}"
    assert stream.values["packets that waited for a key frame"] == "19"
    assert stream.values["reference chain"] == "broken"
    drive.go(10, 2, labelled=False, **joining)
    assert drive.levels() == [ERROR, OK, OK]
    assert drive.stream().message.endswith(
        ": have key frames sent more often, and headers with each"
    )
    drive.go(10, 1)
    assert drive.levels() == [OK, OK, OK]  # nothing was lost
    assert drive.stream().values["frames since the last key step"] == "0"


@pytest.mark.parametrize(("lost", "level"), [(5, WARN), (6, ERROR)])
def test_packets_lost_on_the_way_are_an_error_above_a_share(drive, lost, level):
    drive.go(10, 50)
    drive.go(10, lost, labelled=False, **WAITING)
    drive.go(10, 50 - lost)
    assert drive.levels() == [level, OK, OK]
    assert (
        f"{lost} of 50 packets without labels: {lost} waited for a key frame after a loss "
        "(waiting for a key frame: lost packets), 0 did not decode: see to the sender and the link"
        in drive.stream().message
    )
    drive.go(10, lost)
    assert drive.levels() == [OK, OK, OK]


def test_what_waits_for_a_key_frame_behind_a_full_queue_is_the_loads_fault(drive):
    drive.go(10, 20)
    drive.go(10, 1, labelled=False, **OVERFLOWED)
    behind = OVERFLOWED | {"fate": Fate.BEHIND, "reason": f"waiting for a key frame: {FULL}"}
    drive.go(10, 3, labelled=False, **behind)
    drive.go(10, 20)
    assert drive.levels() == [OK, WARN, OK]
    expected = "1 of 44 packets dropped by a full queue, and 3 behind it up to a key frame: lower"
    assert expected in drive.load().message
    drive.go(10, 30, labelled=False, **behind)
    assert drive.stream().level is ERROR  # whatever the reason, no labels come
    assert "s: waiting for a key frame: the queue of 30" in drive.stream().message


def test_packets_that_do_not_decode_are_counted_with_the_reason(drive):
    drive.go(10, 20)
    drive.go(10, 1, labelled=False, **DAMAGED)
    drive.go(10, 2, labelled=False, **WAITING)
    drive.go(10, 27)
    stream, load = drive.stream(), drive.load()
    assert (stream.level, load.level) == (WARN, OK)
    assert "2 waited for a key frame after a loss (" in stream.message
    assert "lost packets), 1 did not decode (cut off)" in stream.message
    assert stream.values["packets that did not decode"] == "1"
    assert load.values["packets dropped since activation"] == "1"
    assert load.values["frames without labels since activation"] == "2"
    assert load.values["packets dropped by a full queue"] == "0"


@pytest.mark.parametrize("fields", [DAMAGED, {"reason": NO_PICTURE, "intact": True}])
def test_a_stream_of_which_no_picture_comes_is_an_error(drive, fields):
    drive.go(10, 10)
    drive.go(10, 25, labelled=False, **fields)
    assert drive.stream().level is ERROR
    assert f"no labels for 2.4 s: {fields['reason']}" in drive.stream().message


def test_packets_of_headers_alone_are_no_fault(drive):
    drive.go(20, 100, every=2, reason=NO_PICTURE, intact=True)
    assert drive.levels() == [OK, OK, OK]


def test_labels_of_a_broken_chain_are_a_warning(drive):
    drive.go(10, 10)
    drive.go(10, 3, intact=False, reason=f"{BROKEN}: lost packets")
    assert drive.levels() == [WARN, OK, OK]
    stream = drive.stream()
    assert stream.message == "3 frames labelled although their reference chain is broken"
    assert stream.values["reference chain"] == "broken"
    assert stream.values["what became of the newest packet"] == f"{BROKEN}: lost packets"


def test_a_caveat_of_the_stream_is_told_and_no_fault(drive):
    drive.go(10, 10, caveat="several references")
    assert drive.stream().level is OK
    assert drive.stream().values["caveat"] == "several references"


def test_labels_without_a_stamp_have_no_age(drive):
    drive.go(10, 10, stamped=False)
    values = drive.stream().values
    assert values["age of the newest labels since their stamp (ms)"] == "nan"
    assert values["age of the newest labels since their packet (ms)"] == "100.0"


def test_the_worst_comes_first(drive):
    drive.go(4, 12)
    drive.go(4, 1, intact=False, reason=BROKEN)
    drive.go(4, 10, labelled=False, **WAITING)
    stream = drive.stream()
    assert stream.level is ERROR
    assert stream.message.split("; ") == [
        f"no labels for 2.4 s: {WAITING['reason']}: have key frames sent more often, "
        "and headers with each",
        "10 of 20 packets without labels: 10 waited for a key frame after a loss (waiting for a "
        "key frame: lost packets), 0 did not decode: see to the sender and the link",
        "1 frames labelled although their reference chain is broken",
        "4.0 packets a second, fewer than 5: see what slows the camera or the link down",
    ]


# The load


@pytest.mark.parametrize(
    ("latency_ms", "level"), [(299, OK), (301, WARN), (999, WARN), (1001, ERROR)]
)
def test_the_time_from_packet_to_labels_is_judged(drive, latency_ms, level):
    drive.go(10, 60, latency_ms=latency_ms)
    drive.wait(1.2)
    assert drive.load().level is level
    assert drive.load().message.startswith(f"{latency_ms} ms from packet to labels (p95)")


@pytest.mark.parametrize("kind", [FrameKind.P, FrameKind.B])
def test_b_frames_are_named_where_they_take_time(drive, kind):
    drive.go(10, 60, latency_ms=400)
    drive.go(10, 1, latency_ms=400, kind=kind)
    drive.wait(0.5)
    assert ("send no B-frames" in drive.load().message) == (kind is FrameKind.B)


def test_an_error_below_the_warning_is_an_error(drive):
    drive.go(10, 60, latency_ms=250)
    bounds = replace(LIMITS, latency_error_ms=200.0)
    assert judge_load(drive.watch.snapshot(drive.now_s), bounds, None).level is ERROR


def test_a_few_late_frames_are_no_fault(drive):
    for _ in range(3):
        drive.go(10, 1, latency_ms=2000)
        drive.go(10, 24)
    values = drive.load().values
    assert drive.load().level is OK
    assert float(values["packet to labels, p50 (ms)"]) == 50.0
    assert float(values["packet to labels, p95 (ms)"]) < 300


def test_frames_skipped_are_counted_and_no_fault_as_long_as_enough_are_labelled(drive):
    drive.go(30, 180, every=3, **SKIPPED)
    load = drive.load()
    assert load.level is OK
    assert load.message == "50 ms from packet to labels (p95), 100 of 150 frames skipped"
    assert load.values["frames skipped for newer ones"] == "100"


def test_too_few_labels_are_the_loads_fault(drive):
    drive.go(30, 180, every=10, **SKIPPED)
    assert drive.levels() == [OK, WARN, OK]
    assert "3.0 of 30.0 frames a second labelled, fewer than 5" in drive.load().message


def test_without_a_bound_on_latency_the_bound_is_infinite(drive):
    status = judge_load(drive.snapshot(), LIMITS, None)
    assert status.values["latency bound (ms)"] == "inf"
    assert status.message == "no frame was labelled lately"


def test_a_full_queue_is_the_loads_fault(drive):
    drive.go(10, 20)
    drive.go(10, 4, labelled=False, **OVERFLOWED)
    drive.go(10, 20)
    assert drive.levels() == [OK, WARN, OK]
    assert "4 of 44 packets dropped by a full queue: lower the video's" in drive.load().message
    assert drive.stream().values["packets that did not decode"] == "0"
    drive.go(10, 4, labelled=False, **OVERFLOWED)
    assert drive.load().level is ERROR


def test_packets_that_are_not_dealt_with_are_an_error(drive):
    drive.go(10, 10)
    for _ in range(PENDING_LIMIT):
        drive.watch.arrive(drive.now_s)
    drive.wait(3)
    assert drive.load().level is OK  # a stream that ended may leave so many in the decoder
    drive.watch.arrive(drive.now_s)
    assert drive.levels() == [OK, ERROR, OK]
    expected = f"{PENDING_LIMIT + 1} packets wait, and none was dealt with for 3.0 s: the decoder"
    assert expected in drive.load().message


# The device


def test_a_network_that_fails_is_the_devices_fault(drive):
    drive.go(10, 10)
    drive.go(10, 25, labelled=False, **FAILED)
    assert drive.levels() == [OK, OK, ERROR]
    assert drive.device().message == "25 frames failed: the network failed: MemoryError: "


def test_what_the_device_says_is_told(drive):
    moved = DeviceState("cpu", "fp32", "m", caveat="out of memory on cuda:0: the CPU runs it")
    assert (drive.device(moved).level, drive.device(moved).message) == (WARN, moved.caveat)
    gone = DeviceState("", "", "", fault="the device does not answer: RuntimeError: lost")
    assert (drive.device(gone).level, drive.device(gone).message) == (ERROR, gone.fault)


def test_the_devices_memory_is_told(drive):
    gpu = DeviceState("cuda:0", "fp16", "m", used_bytes=5 << 20, reserved_bytes=(9 << 20) + 1)
    values = drive.device(gpu).values
    assert values["device memory in use (MiB)"] == "5"
    assert values["device memory reserved (MiB)"] == "9"


def test_numbers_can_be_read_by_a_program(drive):
    drive.go(10, 10)
    for status in (drive.stream(), drive.load(), drive.device()):
        for key, value in status.values.items():
            if key.endswith((")", "activation")):
                assert math.isfinite(float(value)) or value == "nan"
