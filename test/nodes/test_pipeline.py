"""Every packet comes back once; nothing wrong comes out of a broken one."""

import threading

import numpy as np
import pytest

from twnet_ros.codec import FrameKind, StreamDecoder
from twnet_ros.nodes.pipeline import NOBODY, Pipeline
from twnet_ros.segment import Path

SECOND_NS = 1_000_000_000


@pytest.fixture
def start(fake_segmenter, sink):
    """Make pipelines that are stopped after the test."""
    made = []

    def make(wanted=lambda: True, queue_size=100):
        made.append(Pipeline(fake_segmenter, sink, wanted, queue_size))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.stop()


def push_all(pipeline, packets, format="mpeg4", first=0):
    for number, packet in enumerate(packets, first):
        data = packet if isinstance(packet, bytes) else packet.data
        pipeline.push(data, format, f"header {number}", (number + 1) * SECOND_NS // 10)


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_every_packet_is_labelled_in_order_under_its_own_header(codec, start, sink, request):
    packets = request.getfixturevalue(f"{codec}_packets")
    push_all(start(), packets, codec)
    tickets = sink.take(len(packets))
    decoder = StreamDecoder(codec)
    frames = [frame for packet in packets for frame in decoder.decode(packet.data)]
    assert [ticket.header for ticket in tickets] == [f"header {i}" for i in range(len(packets))]
    for ticket, frame in zip(tickets, frames, strict=True):
        assert (ticket.segmentation.labels == frame.y >> 6).all()
        assert (ticket.kind, ticket.intact, ticket.reason) == (frame.kind, True, "")
        assert ticket.segmentation.path is (Path.KEY if frame.key else Path.NONKEY)
    assert [ticket.kind for ticket in tickets[:7]] == [
        FrameKind.I,
        *[FrameKind.P] * 5,
        FrameKind.I,
    ]
    assert tickets[-1].frames_skipped == tickets[-1].packets_dropped == 0


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_after_a_truncated_packet_nothing_is_labelled_up_to_the_next_key_frame(
    codec, start, sink, request
):
    packets = [packet.data for packet in request.getfixturevalue(f"{codec}_packets")]
    packets[2] = packets[2][: len(packets[2]) // 2]
    push_all(start(), packets, codec)
    tickets = sink.take(len(packets))
    labelled = [ticket.segmentation is not None for ticket in tickets]
    assert labelled == [True] * 2 + [False] * 4 + [True] * 12
    assert tickets[2].fault and "expected" in tickets[2].reason
    for ticket in tickets[3:6]:
        assert ticket.waiting and not ticket.fault and ticket.reason
    assert (tickets[-1].packets_dropped, tickets[-1].frames_skipped) == (1, 3)


@pytest.mark.parametrize(
    ("data", "format", "expected"),
    [
        (b"", "mpeg4", "empty"),
        (b"\xff\xd8\xff\xe0", "jpeg", "'h264' or 'mpeg4', got 'jpeg'"),
        (b"\xff\xd8\xff\xe0 a picture", "mpeg4", "JPEG"),
        (b"\x00\x00\x01", "", "'h264' or 'mpeg4', got ''"),
    ],
)
def test_what_is_no_video_is_an_error_that_names_what_was_expected(
    data, format, expected, start, sink, mpeg4_packets
):
    pipeline = start()
    pipeline.push(data, format, "bad", SECOND_NS // 20)
    push_all(pipeline, mpeg4_packets)
    bad, *others = sink.take(1 + len(mpeg4_packets))
    assert bad.header == "bad" and bad.fault and bad.segmentation is None
    assert expected in bad.reason
    assert all(ticket.segmentation is not None for ticket in others)


def test_joining_in_mid_gop_waits_for_the_key_frame_and_says_so(start, sink, mpeg4_packets):
    push_all(start(), mpeg4_packets[3:])
    tickets = sink.take(15)
    assert [ticket.segmentation is not None for ticket in tickets] == [False] * 3 + [True] * 12
    assert all(ticket.waiting and "key frame" in ticket.reason for ticket in tickets[:3])


def test_an_overflow_drops_to_the_next_key_frame_and_counts(
    start, sink, fake_segmenter, mpeg4_packets
):
    gate = threading.Event()
    step = fake_segmenter.step

    def wait_then_step(frame):
        gate.wait()
        return step(frame)

    fake_segmenter.step = wait_then_step
    pipeline = start(queue_size=4)
    push_all(pipeline, mpeg4_packets)  # the network stands still: most do not fit
    gate.set()
    tickets = sink.take(len(mpeg4_packets))
    assert {ticket.header for ticket in tickets} == {f"header {i}" for i in range(18)}
    overflowed = [ticket for ticket in tickets if "overflowed" in ticket.reason]
    assert len(overflowed) >= 4
    assert all(ticket.fault and ticket.segmentation is None for ticket in overflowed)
    assert tickets[-1].packets_dropped == len(overflowed)
    # What was labelled is right: a run of frames from a key frame on.
    by_number = sorted(tickets, key=lambda ticket: ticket.stamp_ns)
    for before, after in zip(by_number, by_number[1:], strict=False):
        if after.segmentation is not None and before.segmentation is None:
            assert after.kind is FrameKind.I
    push_all(pipeline, mpeg4_packets[:2], first=18)
    assert all(ticket.segmentation is not None for ticket in sink.take(2))


def test_stamps_that_go_back_begin_the_stream_anew(start, sink, fake_segmenter, mpeg4_packets):
    pipeline = start()
    push_all(pipeline, mpeg4_packets[:8])
    sink.take(8)
    resets = fake_segmenter.resets
    push_all(pipeline, mpeg4_packets[2:7])  # six frames, 0.6 s, back
    tickets = sink.take(5)
    assert fake_segmenter.resets > resets
    assert [ticket.segmentation is not None for ticket in tickets] == [False] * 4 + [True]
    assert all(ticket.waiting for ticket in tickets[:4])


def test_a_new_codec_begins_a_new_stream(start, sink, mpeg4_packets, h264_packets):
    pipeline = start()
    push_all(pipeline, mpeg4_packets[:3])
    push_all(pipeline, h264_packets[:3], "h264", first=3)
    tickets = sink.take(6)
    assert [ticket.segmentation.distance for ticket in tickets] == [0, 1, 2, 0, 1, 2]


def test_nothing_is_segmented_for_nobody_and_whoever_comes_is_served_at_once(
    start, sink, fake_segmenter, mpeg4_packets
):
    wanted = threading.Event()
    pipeline = start(wanted=wanted.is_set)
    push_all(pipeline, mpeg4_packets[:3])
    idle = sink.take(3)
    assert fake_segmenter.stepped == []
    assert all(ticket.reason == NOBODY and not ticket.waiting for ticket in idle)
    assert idle[-1].frames_skipped == 3
    wanted.set()
    push_all(pipeline, mpeg4_packets[3:5], first=3)
    first, second = sink.take(2)
    assert (first.kind, first.segmentation.path) == (FrameKind.P, Path.KEY)
    assert second.segmentation.path is Path.NONKEY


def test_a_failing_network_is_reported_and_the_next_frame_starts_afresh(
    start, sink, fake_segmenter, mpeg4_packets
):
    step = fake_segmenter.step

    def fail_once(frame):
        if frame.index == 1:
            raise RuntimeError("out of memory")
        return step(frame)

    fake_segmenter.step = fail_once
    push_all(start(), mpeg4_packets[:4])
    tickets = sink.take(4)
    assert tickets[1].fault and "out of memory" in tickets[1].reason
    assert [ticket.segmentation is not None for ticket in tickets] == [True, False, True, True]
    assert tickets[2].segmentation.path is Path.KEY


def test_stop_ends_the_threads_with_work_left(start, sink, fake_segmenter, mpeg4_packets):
    entered, gate = threading.Event(), threading.Event()

    def wait(frame):
        entered.set()
        gate.wait()
        return []

    fake_segmenter.step = wait
    pipeline = start()
    push_all(pipeline, mpeg4_packets)
    entered.wait()
    stopper = threading.Thread(target=pipeline.stop)
    stopper.start()
    gate.set()
    stopper.join()
    assert not {"decode", "segment"} & {thread.name for thread in threading.enumerate()}


def test_frames_that_the_decoder_reorders_keep_their_own_headers(start, sink, reordered_packets):
    """With B-frames, pictures come out later than their packets and in another order."""
    pipeline = start()
    for time, data in reordered_packets:
        pipeline.push(data, "h264", time, SECOND_NS + time)
    *tickets, _ = (ticket for ticket in sink.take(len(reordered_packets) - 4))
    assert [ticket.header for ticket in tickets] == list(range(len(tickets)))
    assert {ticket.kind for ticket in tickets} == set(FrameKind)
    assert all(ticket.segmentation is not None for ticket in tickets)


def test_labels_are_arrays_of_train_ids(start, sink, mpeg4_packets):
    push_all(start(), mpeg4_packets[:1])
    labels = sink.take(1)[0].segmentation.labels
    assert labels.dtype == np.uint8 and labels.shape == (48, 64)
