"""The queue in front of the decoder: its bound in bytes, and stamps that go back."""

import pytest

from twnet_ros.nodes import backlog
from twnet_ros.nodes.backlog import Backlog, Gap
from twnet_ros.nodes.ticket import Fate, Ticket

SECOND_NS = 1_000_000_000


@pytest.fixture
def queue(monkeypatch):
    """A queue of 1000 bytes."""
    monkeypatch.setattr(backlog, "QUEUE_BYTES", 1000)
    return Backlog(30)


def push(queue, size=1, stamp_ns=0):
    queue.push(bytes(size), "mpeg4", Ticket(None, stamp_ns, 0.0))


def take(queue):
    """All that waits: up to the newest packet, which is never dropped."""
    packets = [queue.pop()]
    while packets[-1].number < queue.pushed:
        packets.append(queue.pop())
    return packets


def test_what_has_been_taken_no_longer_counts(queue):
    gaps = []
    for _ in range(50):
        push(queue, 400)
        push(queue, 400)
        gaps += [packet.gap for packet in take(queue)]
    assert gaps == [None] * 100


def test_what_has_been_dropped_no_longer_counts(queue):
    for size in (600, 600, 300):
        push(queue, size)
    first, second = take(queue)
    assert (len(first.data), len(second.data)) == (600, 300)
    assert first.gap == Gap("the queue of 0 MiB overflowed", Fate.BEHIND)
    assert second.gap is None


@pytest.mark.parametrize("rate_hz", [0.1, 1, 30])
def test_stamps_of_b_frames_do_not_go_back_at_any_rate(rate_hz, queue):
    for anchor in range(0, 28, 4):  # three between two others, the middle one coded first
        for number in (anchor, anchor - 2, anchor - 3, anchor - 1) if anchor else (0,):
            push(queue, stamp_ns=round((100 + number / rate_hz) * SECOND_NS))
    assert not any(packet.gap for packet in take(queue))


@pytest.mark.parametrize("count", [10, 16, 17, 28])
def test_a_short_recording_that_begins_again_is_told_at_any_rate(count, queue):
    for turn in range(2):
        for number in range(count):
            push(queue, stamp_ns=(100 + number) * SECOND_NS)
        packets = take(queue)
        assert [bool(packet.gap) for packet in packets] == [turn > 0] + [False] * (count - 1)


def test_an_overflow_does_not_hide_that_the_stream_is_another(queue):
    push(queue, 600)
    queue.interrupt("another publisher")
    push(queue, 600)
    push(queue, 600)
    (packet,) = take(queue)
    assert packet.gap == Gap("the queue of 0 MiB overflowed", Fate.BEHIND, another=True)


def test_stamps_that_go_back_do_not_hide_that_the_stream_is_another(queue):
    push(queue, stamp_ns=100 * SECOND_NS)
    queue.interrupt("another publisher")
    push(queue, stamp_ns=SECOND_NS)
    assert take(queue)[1].gap == Gap("another publisher", Fate.JOINING, another=True)


def test_a_stream_that_begins_again_is_told_once(queue):
    for stamp_s in (100.0, 100.1, 5.0, 5.1, 5.2):
        push(queue, stamp_ns=round(stamp_s * SECOND_NS))
    gaps = [packet.gap for packet in take(queue)]
    assert gaps == [None, None, Gap("the stamps went back", Fate.JOINING), None, None]
