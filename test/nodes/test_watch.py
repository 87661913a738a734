"""What is counted, timed and kept of the packets of the last seconds."""

import gc
import math
import weakref

import numpy as np
import pytest

from twnet_ros.codec import FrameKind
from twnet_ros.nodes.conversion import status_message
from twnet_ros.nodes.pipeline import Pipeline
from twnet_ros.nodes.ticket import Fate, Ticket
from twnet_ros.nodes.watch import Watch
from twnet_ros.segment import Path, Segmentation, Wish

WAITING = {"labelled": False, "fate": Fate.WAITING, "waiting": True}


def ticket_of(arrival_s, labelled=True, **fields):
    given = {"fate": Fate.LABELLED if labelled else Fate.EMPTY, "intact": labelled} | fields
    ticket = Ticket(None, 0, arrival_s, **given)
    if labelled:
        ticket.kind = FrameKind.P
        times_ms = {"input": 1.0, "network": 2.0, "output": 3.0}
        labels = np.zeros((2, 2), np.uint8)
        ticket.segmentation = Segmentation(labels, 0, 0, FrameKind.P, Path.KEY, 0, times_ms)
    return ticket


def take(watch, ticket, now_s):
    watch.take(ticket, status_message(ticket, 0, now_s), now_s)


@pytest.fixture
def watch():
    return Watch(5.0, 100.0)


def test_at_first_nothing_is_known(watch):
    seen = watch.snapshot(101.5)
    assert (seen.begun, seen.settled, seen.newest, seen.packets) == (False, False, None, 0)
    assert (seen.arriving_hz, seen.labelled_hz, seen.inside) == (0.0, 0.0, 0)
    assert (seen.silent_s, seen.unlabelled_s, seen.frames_since_key) == (1.5, None, None)
    assert all(map(math.isnan, (*seen.decode_ms, *seen.total_ms, seen.stamp_age_ms)))


def test_rates_are_over_the_window_or_since_the_first_packet(watch):
    for second in (103, 104, 105, 106):
        watch.arrive(float(second))
        take(watch, ticket_of(float(second)), second + 0.25)
    assert watch.snapshot(107.0).arriving_hz == watch.snapshot(107.0).labelled_hz == 1.0
    assert not watch.snapshot(107.75).settled
    seen = watch.snapshot(108.0)  # the first is five seconds old, and no longer in the window
    assert seen.settled and (seen.arriving_hz, seen.labelled_hz) == (0.6, 0.8)
    assert watch.snapshot(112.0).arriving_hz == watch.snapshot(112.25).labelled_hz == 0.0


def test_a_flood_that_is_dropped_leaves_nothing_inside(watch):
    for _ in range(40):
        watch.arrive(101.0)
    take(watch, ticket_of(101.0), 101.1)
    assert watch.snapshot(101.1).inside == 39
    last = {"fate": Fate.OVERFLOWED, "packets_dropped": 37, "frames_skipped": 1}
    take(watch, ticket_of(101.0, labelled=False, **last), 101.2)
    assert watch.snapshot(101.2).inside == 1


def test_frames_that_are_labelled_and_not_published_are_not_inside(watch):
    watch.arrive(101.0)
    take(watch, ticket_of(101.0, fate=Fate.FAILED), 101.1)
    assert watch.snapshot(101.1).inside == 0


@pytest.mark.parametrize(
    ("silence_s", "rate_hz", "settled"), [(4.0, 0.2, True), (5.0, 1.0, False)]
)
def test_after_a_silence_as_long_as_the_window_rates_begin_anew(
    watch, silence_s, rate_hz, settled
):
    for second in (101.0, 102.0, 103.0, 103.0 + silence_s):
        watch.arrive(second)
    seen = watch.snapshot(104.0 + silence_s)
    assert (seen.arriving_hz, seen.settled) == (rate_hz, settled)


def test_of_a_stream_that_begins_anew_nothing_has_hung_yet(watch):
    watch.arrive(101.0)
    take(watch, ticket_of(101.0), 101.0)
    watch.arrive(121.0)
    assert watch.snapshot(121.5).stuck_s == 0.5
    take(watch, ticket_of(121.0, **WAITING), 121.75)
    seen = watch.snapshot(122.0)
    assert (seen.stuck_s, seen.unlabelled_s) == (0.25, 0.25)


def test_a_window_may_change(watch):
    for second in range(101, 111):
        watch.arrive(float(second))
    watch.window_s = 2.0
    assert watch.snapshot(110.5).arriving_hz == 1.0
    watch.window_s = 4.0  # what was forgotten stays so
    assert watch.snapshot(110.5).arriving_hz == 0.5


def test_fates_are_counted_with_the_newest_reason_of_each(watch):
    for fields in (WAITING | {"reason": "a"}, {}, WAITING | {"reason": "b"}):
        watch.arrive(101.0)
        take(watch, ticket_of(101.0, **fields), 101.0)
    seen = watch.snapshot(101.0)
    assert seen.fates == {Fate.WAITING: 2, Fate.LABELLED: 1}
    assert (seen.newest, seen.reason) == (Fate.WAITING, "b")
    assert seen.reasons == {Fate.WAITING: "b", Fate.LABELLED: ""}


def test_labels_are_missing_until_the_next_ones_come_or_nobody_wants_them(watch):
    history = [
        (ticket_of(101.0), None),
        (ticket_of(102.0, labelled=False, fate=Fate.SKIPPED), 0.5),
        (ticket_of(103.0, **WAITING), 1.5),
        (ticket_of(104.0), None),
        (ticket_of(105.0, **WAITING), 0.5),
        (ticket_of(106.0, labelled=False, fate=Fate.UNWANTED), None),
    ]
    for ticket, unlabelled_s in history:
        watch.arrive(ticket.arrival_s)
        take(watch, ticket, ticket.arrival_s)
        assert watch.snapshot(ticket.arrival_s + 0.5).unlabelled_s == unlabelled_s


def test_percentiles_are_of_labelled_frames_and_of_packets_with_a_picture(watch):
    for number in range(101):
        watch.arrive(101.0)
        take(watch, ticket_of(101.0, decode_ms=float(number)), 101.0 + number / 1e3)
    for _ in range(50):
        watch.arrive(101.0)
        take(watch, ticket_of(101.0, decode_ms=0.01, **WAITING), 105.0)
    seen = watch.snapshot(105.0)
    assert seen.total_ms == pytest.approx((50.0, 95.0))
    assert seen.decode_ms == pytest.approx((50.0, 95.0))
    assert seen.inference_ms == (6.0, 6.0)


def test_no_picture_and_no_labels_are_kept(watch):
    ticket = ticket_of(101.0)
    labels = weakref.ref(ticket.segmentation.labels)
    watch.arrive(101.0)
    take(watch, ticket, 101.0)
    del ticket
    gc.collect()
    assert labels() is None


def test_what_nobody_looks_at_is_forgotten_all_the_same(watch):
    for number in range(1000):
        watch.arrive(101.0 + number)
        take(watch, ticket_of(101.0 + number), 101.0 + number)
    assert len(watch._arrivals) == len(watch._seen) == 5


def test_packets_of_a_real_pipeline(watch, fake_segmenter, sink, busy, mpeg4_packets):
    entered, gate = busy
    wish = Wish()
    pipeline = Pipeline(fake_segmenter, sink, lambda: wish, queue_size=6, max_latency_ms=0)
    data = [packet.data for packet in mpeg4_packets]

    def push(*packets):
        for packet in packets:
            watch.arrive(101.0)
            pipeline.push(packet, "mpeg4", None, 0)

    def push_while_busy(first, *others):
        push(first)
        entered.wait()
        push(*others)
        gate.set()

    def hand_in(count):
        for ticket in sink.take(count):
            take(watch, ticket, 102.0)
        return watch.snapshot(102.0)

    push_while_busy(*data[:3])
    assert watch.snapshot(101.0).inside == 3
    assert hand_in(3).fates == {Fate.LABELLED: 2, Fate.SKIPPED: 1}
    wish = None
    push(data[3])
    assert hand_in(1).newest is Fate.UNWANTED
    wish = Wish()
    push(data[4][:-30])
    assert hand_in(1).newest is Fate.DAMAGED
    push(data[5])
    assert hand_in(1).newest is Fate.WAITING
    entered.clear()
    gate.clear()
    push_while_busy(*data[6:])  # more than the queue and the decoder hold
    seen = hand_in(12)
    pipeline.stop()
    assert (seen.inside, seen.packets) == (0, 18)
    assert seen.fates[Fate.OVERFLOWED] and "overflowed" in seen.reasons[Fate.OVERFLOWED]
    assert seen.packets_dropped == seen.fates[Fate.OVERFLOWED] + 1
    assert Fate.FAILED not in seen.fates
