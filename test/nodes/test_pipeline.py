"""Every packet comes back once; nothing wrong comes out of a broken one."""

import threading
from time import perf_counter
from types import SimpleNamespace

import numpy as np
import pytest

from coded import encode
from twnet_ros.codec import FrameKind, StreamDecoder
from twnet_ros.codec.bitstream import headers_of
from twnet_ros.nodes.backlog import MOST_TICKETS
from twnet_ros.nodes.pipeline import BROKEN, NOBODY, SKIPPED, Pipeline
from twnet_ros.nodes.ticket import Fate
from twnet_ros.segment import Path, Wish

SECOND_NS = 1_000_000_000


@pytest.fixture
def start(fake_segmenter, sink):
    """Make pipelines that are stopped after the test."""
    made = []

    def make(wanted=Wish, queue_size=100, max_latency_ms=None):
        made.append(Pipeline(fake_segmenter, sink, wanted, queue_size, max_latency_ms))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.stop()


def push_all(pipeline, packets, format="mpeg4", first=0):
    for number, packet in enumerate(packets, first):
        data = packet if isinstance(packet, bytes) else packet.data
        pipeline.push(data, format, f"header {number}", (number + 1) * SECOND_NS // 10)


def push_while_busy(pipeline, busy, packets):
    """Have all others wait while the network works on the first."""
    entered, gate = busy
    push_all(pipeline, packets[:1])
    entered.wait()
    push_all(pipeline, packets[1:], first=1)
    gate.set()


def no_threads():
    return not {"decode", "segment"} & {thread.name for thread in threading.enumerate()}


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
        assert ticket.decode_ms >= ticket.frame.decode_ms > 0
    assert [ticket.kind for ticket in tickets[:7]] == [
        FrameKind.I,
        *[FrameKind.P] * 5,
        FrameKind.I,
    ]
    assert tickets[-1].frames_skipped == tickets[-1].packets_dropped == 0


@pytest.mark.parametrize(
    ("codec", "encoder"), [("hevc", "libx265"), ("vp9", "libvpx-vp9"), ("av1", "libsvtav1")]
)
def test_codecs_without_vectors_are_labelled_too(codec, encoder, start, sink):
    options = {"x265-params": "bframes=0:log-level=none", "lag-in-frames": "0"}
    planes = np.random.default_rng(0).integers(0, 256, (12, 96, 64), np.uint8)
    packets = encode(encoder, planes, {} if codec == "av1" else options, gop_size=6)
    pipeline = start()
    push_all(pipeline, packets, encoder)
    tickets = sink.take(12)
    assert [ticket.header for ticket in tickets] == [f"header {i}" for i in range(12)]
    assert all(ticket.segmentation is not None and ticket.intact for ticket in tickets)
    keys = [number for number, ticket in enumerate(tickets) if ticket.kind is FrameKind.I]
    assert keys == [0, 6]
    assert all("without motion vectors" in ticket.caveat for ticket in tickets)


def length_prefixed(data):
    units = data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def test_length_prefixed_packets_are_labelled_as_those_with_start_codes(start, sink, h264_packets):
    push_all(start(), [length_prefixed(packet.data) for packet in h264_packets], "h264")
    decoder = StreamDecoder("h264")
    for packet, ticket in zip(h264_packets, sink.take(18), strict=True):
        (frame,) = decoder.decode(packet.data)
        assert (ticket.segmentation.labels == frame.y >> 6).all()
        assert ticket.intact and not ticket.dropped


def test_after_an_interruption_nothing_is_labelled_up_to_the_next_key_frame(
    start, sink, fake_segmenter, mpeg4_packets
):
    pipeline = start()
    push_all(pipeline, mpeg4_packets[:3])
    pipeline.interrupt("another camera")
    push_all(pipeline, mpeg4_packets[3:9], first=3)
    tickets = sink.take(9)
    labelled = [ticket.segmentation is not None for ticket in tickets]
    assert labelled == [True] * 3 + [False] * 3 + [True] * 3
    assert all("another camera" in ticket.reason for ticket in tickets[3:6])
    assert fake_segmenter.resets


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_what_is_told_to_be_lost_is_waited_out_though_the_stream_does_not_show_it(
    codec, start, sink, request
):
    packets = request.getfixturevalue(f"{codec}_packets")
    pipeline = start()
    push_all(pipeline, packets[:3], codec)
    pipeline.lose("six are missing")  # of the next group of pictures, which numbers them alike
    push_all(pipeline, packets[9:], codec, first=9)
    tickets = sink.take(12)
    labelled = [ticket.segmentation is not None for ticket in tickets]
    assert labelled == [True] * 3 + [False] * 3 + [True] * 6
    assert all(t.waiting and "six are missing" in t.reason for t in tickets[3:6])


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_what_is_told_to_be_lost_breaks_the_chain_of_what_is_labelled_all_the_same(
    codec, start, sink, fake_segmenter, request
):
    fake_segmenter.label_broken = True
    packets = request.getfixturevalue(f"{codec}_packets")
    pipeline = start()
    push_all(pipeline, packets[:3], codec)
    pipeline.lose("six are missing")
    push_all(pipeline, packets[9:], codec, first=9)
    tickets = sink.take(12)
    assert all(ticket.segmentation is not None for ticket in tickets)
    assert [ticket.intact for ticket in tickets] == [True] * 3 + [False] * 3 + [True] * 6
    assert all(ticket.reason.startswith(BROKEN) for ticket in tickets[3:6])
    assert tickets[3].reason.endswith("six are missing")


def test_a_loss_does_not_hide_that_the_stream_is_another(
    start, sink, fake_segmenter, mpeg4_packets
):
    fake_segmenter.label_broken = True
    pipeline = start()
    push_all(pipeline, mpeg4_packets[:3])
    pipeline.interrupt("another camera")
    pipeline.lose("and one is missing")
    push_all(pipeline, mpeg4_packets[4:7], first=4)
    tickets = sink.take(6)
    assert [ticket.intact for ticket in tickets] == [True] * 3 + [False] * 2 + [True]
    assert all("another camera" in ticket.reason for ticket in tickets[3:5])
    assert fake_segmenter.resets


def intra_refresh(seed):
    """Packets of H.264 of one key frame, whose pictures are renewed column by column in ten."""
    scene = np.random.default_rng(seed).integers(0, 256, (72, 110), np.uint8)
    planes = [scene[:, number : number + 64].copy() for number in range(40)]
    parameters = "intra-refresh=1:keyint=10:bframes=0:ref=1:scenecut=0"
    return encode("h264", planes, {"x264-params": parameters})


@pytest.mark.parametrize("label_broken", [False, True])
def test_intra_refresh_recovers_from_what_is_told_to_be_lost(
    label_broken, start, sink, fake_segmenter
):
    fake_segmenter.label_broken = label_broken
    packets = intra_refresh(0)
    pipeline = start()
    push_all(pipeline, packets[:15], "h264")
    pipeline.lose("one is missing")
    push_all(pipeline, packets[16:], "h264", first=16)
    tickets = sink.take(39)
    intact = [ticket.intact for ticket in tickets]
    whole = intact.index(True, 15)
    assert all(intact[:15]) and 15 < whole < 35 and all(intact[whole:])
    for ticket in tickets:
        assert (ticket.segmentation is not None) == (ticket.intact or label_broken)


def test_what_is_no_video_does_not_hide_that_the_stream_is_another(start, sink):
    """What the one before has recovered of a loss by then is no part of the other."""
    one, other = intra_refresh(0), intra_refresh(1)
    pipeline = start()
    push_all(pipeline, one[:15], "h264")
    push_all(pipeline, one[16:21], "h264", first=16)
    pipeline.interrupt("another publisher")
    push_all(pipeline, [b"a picture"], "jpeg", first=20)
    push_all(pipeline, other[21:], "h264", first=21)
    tickets = sink.take(40)[21:]
    alone = StreamDecoder("h264")
    frames = [f for n, data in enumerate(other[21:], 21) for f in alone.decode(data, n)]
    expected = [f"header {frame.pts}" for frame in frames if frame.intact]
    assert expected and [ticket.header for ticket in tickets if ticket.intact] == expected
    assert all(ticket.intact or "another publisher" in ticket.reason for ticket in tickets)


def intra_only(seed, qp):
    """Packets of H.264 whose headers, with every picture, say how coarse they are."""
    planes = np.random.default_rng(seed).integers(0, 256, (8, 72, 64), np.uint8)
    return encode("h264", planes, {"x264-params": f"keyint=1:qp={qp}"})


def bare(packets):
    return [data.replace(headers_of("h264", data), b"") for data in packets]


def test_key_frames_of_another_publisher_wait_for_their_own_headers(start, sink):
    """With those of the one before they would decode, to other pictures."""
    one, other = intra_only(0, qp=20), intra_only(1, qp=34)
    assert headers_of("h264", one[0]) != headers_of("h264", other[0])
    pipeline = start()
    push_all(pipeline, one, "h264")
    pipeline.interrupt("another publisher")
    push_all(pipeline, [*bare(other[:4]), *other[4:]], "h264", first=8)
    tickets = sink.take(16)
    labelled = [ticket.segmentation is not None for ticket in tickets]
    assert labelled == [True] * 8 + [False] * 4 + [True] * 4
    reason = "another publisher; its headers have not come"
    assert all(ticket.waiting and ticket.reason.endswith(reason) for ticket in tickets[8:12])
    decoder = StreamDecoder("h264")
    for data, ticket in zip(other[4:], tickets[12:], strict=True):
        assert (ticket.segmentation.labels == decoder.decode(data)[0].y >> 6).all()


@pytest.mark.parametrize("own", [False, True])
def test_an_overflow_hands_on_headers_of_its_own_stream_alone(own, start, sink, hold):
    one, other = intra_only(0, qp=20), intra_only(1, qp=34)
    entered, gate = hold
    pipeline = start(queue_size=4)
    push_all(pipeline, one[:1], "h264")
    entered.wait()
    push_all(pipeline, one[1:3], "h264", first=1)
    pipeline.interrupt("another publisher")
    first = other[:1] if own else bare(other[:1])
    push_all(pipeline, [*first, *bare(other[1:6])], "h264", first=3)  # 5 drops 1 to 4
    gate.set()
    tickets = sink.take(9)
    assert [ticket.dropped for ticket in tickets] == [False] + [True] * 4 + [False] * 4
    assert [t.segmentation is not None for t in tickets[5:]] == [own] * 4


@pytest.mark.parametrize(
    ("codec", "encoder"), [("hevc", "libx265"), ("vp9", "libvpx-vp9"), ("av1", "libsvtav1")]
)
def test_what_waits_for_a_key_frame_is_no_damage_where_the_decoder_refuses_it(
    codec, encoder, start, sink
):
    options = {"x265-params": "bframes=0:log-level=none", "lag-in-frames": "0"}
    planes = np.random.default_rng(0).integers(0, 256, (18, 96, 64), np.uint8)
    packets = encode(encoder, planes, {} if codec == "av1" else options, gop_size=6)
    pipeline = start()
    push_all(pipeline, packets[:2], codec)
    pipeline.lose("one is missing")
    push_all(pipeline, packets[3:], codec, first=3)
    fates = [ticket.fate for ticket in sink.take(17)]
    assert fates == [Fate.LABELLED] * 2 + [Fate.WAITING] * 3 + [Fate.LABELLED] * 12


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


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_after_a_lost_packet_nothing_is_labelled_up_to_the_next_key_frame(
    codec, start, sink, request
):
    packets = list(request.getfixturevalue(f"{codec}_packets"))
    del packets[3]
    push_all(start(), packets, codec)
    tickets = sink.take(len(packets))
    labelled = [ticket.segmentation is not None for ticket in tickets]
    assert labelled == [True] * 3 + [False] * 2 + [True] * 12
    for ticket in tickets[3:5]:
        assert ticket.waiting and "lost packets: expected" in ticket.reason
    assert (tickets[-1].packets_dropped, tickets[-1].frames_skipped) == (0, 2)


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_a_broken_chain_is_labelled_and_marked_where_that_is_wanted(
    codec, start, sink, fake_segmenter, request
):
    fake_segmenter.label_broken = True
    packets = [packet.data for packet in request.getfixturevalue(f"{codec}_packets")]
    del packets[3]
    packets[8] = packets[8][: len(packets[8]) // 2]  # the fourth of the second GOP
    push_all(start(), packets, codec)
    tickets = sink.take(len(packets))
    # What is missing of a picture FFmpeg makes up in H.264; in MPEG-4 it refuses the packet.
    nothing = {8} if codec == "mpeg4" else set()
    assert {n for n, ticket in enumerate(tickets) if ticket.segmentation is None} == nothing
    broken = {3, 4, 8, 9, 10}
    for number, ticket in enumerate(tickets):
        assert ticket.intact == (number not in broken)
        assert not ticket.waiting
        assert bool(ticket.reason) == (number in broken)
    assert tickets[3].reason.startswith(BROKEN) and "lost packets" in tickets[3].reason
    assert (tickets[8].fault and tickets[8].dropped) == bool(nothing)
    assert "expected a whole" in tickets[8].reason


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_a_repeated_packet_is_left_out(codec, start, sink, request):
    packets = list(request.getfixturevalue(f"{codec}_packets"))
    decoder = StreamDecoder(codec)
    frames = [frame for packet in packets for frame in decoder.decode(packet.data)]
    packets.insert(3, packets[2])
    push_all(start(), packets, codec)
    tickets = sink.take(len(packets))
    repeated = tickets.pop(3)
    assert repeated.segmentation is None
    assert "repeated packet" in repeated.reason and not repeated.waiting
    for ticket, frame in zip(tickets, frames, strict=True):
        assert (ticket.segmentation.labels == frame.y >> 6).all()


@pytest.mark.parametrize(
    ("data", "format", "expected"),
    [
        (b"", "mpeg4", "empty"),
        (b"\xff\xd8\xff\xe0", "jpeg", "'h264', 'mpeg4', 'hevc', 'vp9', 'av1', got 'jpeg'"),
        (b"\xff\xd8\xff\xe0 a picture", "mpeg4", "JPEG"),
        (b"\x00\x00\x01", "", "'h264', 'mpeg4', 'hevc', 'vp9', 'av1', got ''"),
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
    assert [ticket.header for ticket in tickets] == [f"header {i}" for i in range(18)]
    dropped = [ticket for ticket in tickets if ticket.dropped]
    assert len(dropped) >= 4
    assert all(ticket.fault and "overflowed" in ticket.reason for ticket in dropped)
    assert all(ticket.segmentation is None for ticket in dropped)
    assert tickets[-1].packets_dropped == len(dropped)
    # What was labelled is right: a run of frames from a key frame on.
    for before, after in zip(tickets, tickets[1:], strict=False):
        if after.segmentation is not None and before.segmentation is None:
            assert after.kind is FrameKind.I
    push_all(pipeline, mpeg4_packets[:2], first=18)
    assert all(ticket.segmentation is not None for ticket in sink.take(2))


@pytest.fixture
def hold(monkeypatch):
    """Hold the decoder at its first packet: (it is there, let it go)."""
    entered, gate = threading.Event(), threading.Event()
    decode = StreamDecoder.decode

    def wait_then_decode(*args, **kwargs):
        entered.set()
        gate.wait()
        return decode(*args, **kwargs)

    monkeypatch.setattr(StreamDecoder, "decode", wait_then_decode)
    yield entered, gate
    gate.set()


def test_after_an_overflow_a_key_frame_without_headers_will_do(start, sink, hold, headers_once):
    codec, packets = headers_once
    entered, gate = hold
    pipeline = start(queue_size=4)
    push_all(pipeline, packets[:1], codec)
    entered.wait()
    push_all(pipeline, packets[1:9], codec, first=1)  # 5 drops 1 to 4
    gate.set()
    tickets = sink.take(9)
    assert [ticket.dropped for ticket in tickets] == [False] + [True] * 4 + [False] * 4
    labelled = [ticket.segmentation is not None for ticket in tickets]
    assert labelled == [True] + [False] * 5 + [True] * 3
    assert tickets[5].waiting and "overflowed" in tickets[5].reason


@pytest.mark.parametrize(
    ("lost", "damaged", "ends"),  # of the packets 6, which is a key frame, to 9
    [
        (None, 8, [Fate.LABELLED, Fate.LABELLED, Fate.DAMAGED, Fate.WAITING]),
        (None, 6, [Fate.DAMAGED] + 3 * [Fate.WAITING]),
        (6, None, 3 * [Fate.WAITING]),
    ],
)
def test_what_waits_behind_an_overflow_does_so_until_something_else_is_lost(
    lost, damaged, ends, start, sink, hold, mpeg4_packets
):
    data = [packet.data for packet in mpeg4_packets]
    entered, gate = hold
    pipeline = start(queue_size=4)
    push_all(pipeline, data[:1])
    entered.wait()
    push_all(pipeline, data[1:6], first=1)  # 5 drops 1 to 4
    gate.set()
    tickets = sink.take(6)
    for number in range(6, 10):
        if number == lost:
            pipeline.lose("one is missing")
            continue
        whole = number != damaged
        push_all(pipeline, [data[number] if whole else data[number][:-30]], first=number)
    tickets += sink.take(len(ends))
    behind = [Fate.LABELLED] + 4 * [Fate.OVERFLOWED] + [Fate.BEHIND]
    assert [ticket.fate for ticket in tickets] == behind + ends


@pytest.mark.parametrize("lost", [False, True])
def test_another_codec_is_another_stream(lost, start, sink, mpeg4_packets, h264_packets):
    pipeline = start()
    if lost:
        pipeline.lose("before the first")
    push_all(pipeline, mpeg4_packets[1:2])
    push_all(pipeline, mpeg4_packets[:2], first=2)
    if lost:
        pipeline.lose("between the two")
    push_all(pipeline, h264_packets[1:2], "h264", first=4)
    fates = [ticket.fate for ticket in sink.take(4)]
    assert fates == [Fate.JOINING, Fate.LABELLED, Fate.LABELLED, Fate.JOINING]


def test_of_a_flood_the_last_tickets_come_back_and_all_packets_count(
    start, sink, hold, mpeg4_packets
):
    """Handed back one by one, more than there is time for, they would keep the labels waiting."""
    entered, gate = hold
    pipeline = start(queue_size=4)
    push_all(pipeline, mpeg4_packets[:1])
    entered.wait()
    flood = 2 * MOST_TICKETS
    for number in range(flood):
        pipeline.push(mpeg4_packets[1].data, "mpeg4", f"flood {number}", SECOND_NS)
    push_all(pipeline, mpeg4_packets[:1], first=1)
    gate.set()
    _, *dropped, last = sink.take(1 + MOST_TICKETS + 1)
    first = flood - MOST_TICKETS
    assert [one.header for one in dropped] == [f"flood {n}" for n in range(first, flood)]
    assert all(one.dropped for one in dropped)
    assert last.segmentation is not None and last.packets_dropped == flood


def test_headers_in_dropped_packets_are_kept(start, sink, hold, headers_once):
    codec, packets = headers_once
    entered, gate = hold
    pipeline = start(queue_size=4)
    push_all(pipeline, packets[5:6], codec)  # joined before the headers came
    entered.wait()
    push_all(pipeline, packets[:8], codec, first=1)  # 4 drops 0 to 3
    gate.set()
    tickets = sink.take(9)
    assert [ticket.dropped for ticket in tickets] == [False] + [True] * 4 + [False] * 4
    assert [ticket.segmentation is not None for ticket in tickets] == [False] * 7 + [True] * 2


def test_headers_in_dropped_packets_of_another_codec_are_kept(
    start, sink, hold, mpeg4_packets, h264_packets
):
    headers = headers_of("h264", h264_packets[0].data)
    entered, gate = hold
    pipeline = start(queue_size=4)
    push_all(pipeline, mpeg4_packets[:1])
    entered.wait()
    bare = [packet.data.replace(headers, b"") for packet in h264_packets[1:8]]
    push_all(pipeline, [h264_packets[0].data, *bare], "h264", first=1)  # 4 drops 0 to 3
    gate.set()
    labelled = [ticket.segmentation is not None for ticket in sink.take(9)]
    assert labelled == [True] + [False] * 6 + [True] * 2


def test_headers_in_dropped_length_prefixed_packets_are_kept(start, sink, hold, h264_packets):
    headers = headers_of("h264", h264_packets[0].data)
    packets = [packet.data.replace(headers, b"") for packet in h264_packets[:9]]
    packets[1] = headers + packets[1]
    entered, gate = hold
    pipeline = start(queue_size=4)
    push_all(pipeline, map(length_prefixed, packets[:1]), "h264")
    entered.wait()
    push_all(pipeline, map(length_prefixed, packets[1:]), "h264", first=1)  # 5 drops 1 to 4
    gate.set()
    labelled = [ticket.segmentation is not None for ticket in sink.take(9)]
    assert labelled == [False] * 6 + [True] * 3


def test_stamps_that_go_back_begin_the_stream_anew(start, sink, fake_segmenter, headers_once):
    codec, packets = headers_once
    pipeline = start()
    push_all(pipeline, packets, codec)
    sink.take(18)
    resets = fake_segmenter.resets
    push_all(pipeline, packets[2:7], codec)
    tickets = sink.take(5)
    assert fake_segmenter.resets > resets
    assert "the stamps went back" in tickets[0].reason
    assert [ticket.segmentation is not None for ticket in tickets] == [False] * 4 + [True]
    assert all(ticket.waiting for ticket in tickets[:4])


@pytest.mark.parametrize(
    "stamps_s",
    [
        [1.0, 2.0, 1.4, 1.2, 1.6, 1.8, 3.0, 2.4, 2.2],  # three B-frames at 5 fps
        [5.0, 0.0, 5.2, 5.4, 0.0, 5.6],  # some without a stamp
        [0.0, 0.0, 0.0],
        [1.0, 1.0, 1.0],
    ],
)
def test_stamps_of_one_stream_do_not_begin_it_anew(start, sink, stamps_s, mpeg4_packets):
    pipeline = start()
    for stamp_s, packet in zip(stamps_s, mpeg4_packets, strict=False):
        pipeline.push(packet.data, "mpeg4", stamp_s, int(stamp_s * SECOND_NS))
    assert all(ticket.segmentation is not None for ticket in sink.take(len(stamps_s)))


def test_a_short_jump_back_is_noticed_by_what_was_long_over(start, sink, mpeg4_packets):
    pipeline = start()
    push_all(pipeline, mpeg4_packets)  # 1.8 s
    sink.take(18)
    pipeline.push(mpeg4_packets[1].data, "mpeg4", "again", SECOND_NS // 10)
    (ticket,) = sink.take(1)
    assert ticket.waiting and "the stamps went back" in ticket.reason


def test_a_wait_is_a_loss_only_in_a_stream_that_was_joined(start, sink, mpeg4_packets):
    pipeline = start()
    push_all(pipeline, mpeg4_packets[1:9], first=1)  # key frames are 0, 6 and 12
    pipeline.interrupt("another camera")
    push_all(pipeline, mpeg4_packets[10:14], first=10)
    pipeline.lose("one is missing")
    push_all(pipeline, mpeg4_packets[15:], first=30)
    push_all(pipeline, mpeg4_packets[1:2], first=1)  # and the recording begins again
    fates = [ticket.fate for ticket in sink.take(16)]
    joining, labelled = [Fate.JOINING], [Fate.LABELLED]
    expected = 5 * joining + 3 * labelled + 2 * joining + 2 * labelled + 3 * [Fate.WAITING]
    assert fates == expected + joining


def test_a_packet_of_headers_alone_leaves_the_chain_intact(start, sink, headers_once):
    codec, packets = headers_once
    headers = headers_of(codec, packets[0])
    push_all(start(), [*packets[:2], headers, packets[2]], codec)
    tickets = sink.take(4)
    assert [ticket.segmentation is not None for ticket in tickets] == [True, True, False, True]
    assert all(ticket.intact for ticket in tickets)


def test_key_frames_whose_headers_never_came_are_waited_out(start, sink, headers_once):
    codec, packets = headers_once
    push_all(start(), packets[6:9], codec)
    assert all(ticket.waiting and "key frame" in ticket.reason for ticket in sink.take(3))


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
    pipeline = start(wanted=lambda: Wish() if wanted.is_set() else None)
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


def test_what_asks_for_labels_may_fail_and_stop_still_returns(start, sink, mpeg4_packets):
    def wanted():
        raise RuntimeError("the context is gone")

    pipeline = start(wanted=wanted)
    push_all(pipeline, mpeg4_packets)
    tickets = sink.take(18)
    assert all(ticket.fault and "the context is gone" in ticket.reason for ticket in tickets)
    push_all(pipeline, mpeg4_packets)
    pipeline.stop()
    assert no_threads()


def test_what_takes_tickets_may_fail_and_stop_still_returns(
    fake_segmenter, sink, mpeg4_packets, caplog
):
    def fail(ticket):
        sink(ticket)
        raise RuntimeError("nowhere to put it")

    pipeline = Pipeline(fake_segmenter, fail, Wish, 100)
    push_all(pipeline, mpeg4_packets)
    assert len(sink.take(18)) == 18
    push_all(pipeline, mpeg4_packets)
    pipeline.stop()
    assert no_threads()
    assert "nowhere to put it" in caplog.text


def test_a_failing_decoder_is_reported_and_the_next_key_frame_starts_afresh(
    start, sink, mpeg4_packets, monkeypatch
):
    decode = StreamDecoder.decode

    def fail_once(self, data, pts=None):
        if pts == 2:
            raise MemoryError("too large")
        return decode(self, data, pts)

    monkeypatch.setattr(StreamDecoder, "decode", fail_once)
    push_all(start(), mpeg4_packets[:8])
    tickets = sink.take(8)
    assert tickets[1].fault and tickets[1].reason == "MemoryError: too large"
    labelled = [ticket.segmentation is not None for ticket in tickets]
    assert labelled == [True] + [False] * 5 + [True] * 2


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
    assert no_threads()


def test_what_waits_for_a_change_goes_on_with_something_else(
    start, sink, fake_segmenter, mpeg4_packets
):
    entered, gate, changed = threading.Event(), threading.Event(), []
    step = fake_segmenter.step

    def wait(frame):
        entered.set()
        assert gate.wait(60)
        return step(frame)

    fake_segmenter.step = wait
    pipeline = start()
    push_all(pipeline, mpeg4_packets)
    entered.wait()
    done = pipeline.change(lambda: changed.append(len(fake_segmenter.stepped)))
    gate.set()
    done.result(60)
    assert changed == [1]  # before those that are decoded
    assert len(sink.take(len(mpeg4_packets))) == len(mpeg4_packets)


def test_an_engine_that_is_replaced_labels_what_it_holds(
    start, sink, fake_segmenter, mpeg4_packets
):
    step, held = fake_segmenter.step, []

    def flush():
        results = [step(frame)[0] for frame in held]
        held.clear()
        return results

    def hold(frame):  # until the next one comes
        results = flush()
        held.append(frame)
        return results

    fake_segmenter.step, fake_segmenter.flush = hold, flush
    pipeline, other = start(), type(fake_segmenter)()
    push_all(pipeline, mpeg4_packets[:3])
    sink.take(2)
    pipeline.change(lambda: pipeline.use(other)).result(60)
    push_all(pipeline, mpeg4_packets[3:7], first=3)
    tickets = sink.take(4)
    assert [ticket.header for ticket in tickets] == [f"header {n}" for n in range(2, 6)]
    assert all(ticket.segmentation is not None for ticket in tickets)
    assert fake_segmenter.stepped == [0, 1, 2] and other.stepped[:3] == [3, 4, 5]


def test_what_is_late_is_skipped_for_the_newest(start, sink, fake_segmenter, busy, mpeg4_packets):
    pipeline = start(max_latency_ms=0)
    push_while_busy(pipeline, busy, mpeg4_packets[:12])
    tickets = sink.take(12)
    assert [ticket.header for ticket in tickets] == [f"header {i}" for i in range(12)]
    assert [t.segmentation is not None for t in tickets] == [True] + [False] * 10 + [True]
    assert fake_segmenter.stepped == [0, 11]
    assert fake_segmenter.skipped == list(range(1, 11))  # decoded, every one
    for ticket in tickets[1:11]:
        assert ticket.reason == SKIPPED
        assert ticket.intact and not (ticket.fault or ticket.waiting or ticket.dropped)
    assert tickets[-1].frames_skipped == 10


def test_within_the_latency_nothing_is_skipped(start, sink, fake_segmenter, busy, mpeg4_packets):
    pipeline = start(max_latency_ms=1e9)
    push_while_busy(pipeline, busy, mpeg4_packets[:12])
    assert all(ticket.segmentation is not None for ticket in sink.take(12))
    assert fake_segmenter.skipped == []


@pytest.mark.parametrize(
    ("max_latency_ms", "labelled"),
    [
        (50, [0, 11]),
        (150, [*range(6), 11]),  # the I-frame 6 would be there after 200 ms
        (250, list(range(12))),
    ],
)
def test_what_the_last_step_of_its_kind_took_makes_a_frame_late(
    max_latency_ms, labelled, start, fake_segmenter, sink, busy, mpeg4_packets, monkeypatch
):
    """All come at once; the first, an I-frame, takes 100 ms, and those after it no time."""
    entered, gate = busy
    now_s = 0.0
    clock = SimpleNamespace(monotonic=lambda: now_s, perf_counter=perf_counter)
    monkeypatch.setattr("twnet_ros.nodes.pipeline.time", clock)
    pipeline = start(max_latency_ms=max_latency_ms)
    push_all(pipeline, mpeg4_packets[:1])
    entered.wait()
    push_all(pipeline, mpeg4_packets[1:12], first=1)
    now_s = 0.1
    gate.set()
    sink.take(12)
    assert fake_segmenter.stepped == labelled


def test_where_something_always_waits_skipping_ends_with_what_is_in_time(
    start, sink, fake_segmenter, mpeg4_packets, monkeypatch
):
    """Behind each picture stands a message without one, and the second picture is late."""
    now_s, here = 0.0, threading.Semaphore(0)
    clock = SimpleNamespace(monotonic=lambda: now_s, perf_counter=perf_counter)
    monkeypatch.setattr("twnet_ros.nodes.pipeline.time", clock)
    pipeline = start(wanted=lambda: Wish() if here.acquire() else None, max_latency_ms=50)
    headers = headers_of("mpeg4", mpeg4_packets[0].data)
    for number, packet in enumerate(mpeg4_packets):
        pipeline.push(packet.data, "mpeg4", number, 0)
        pipeline.push(headers, "mpeg4", None, 0)
        now_s += number == 1
        here.release()
        while sink.take(1)[0].header != number:
            pass
    assert fake_segmenter.skipped == [1]


def test_a_lone_frame_is_labelled_however_late_it_is(start, sink, fake_segmenter, mpeg4_packets):
    pipeline = start(max_latency_ms=0)
    for number in range(8):
        push_all(pipeline, mpeg4_packets[number : number + 1], first=number)
        (ticket,) = sink.take(1)
        assert ticket.segmentation is not None
    assert fake_segmenter.skipped == []


def test_skipping_does_not_hide_a_fault(start, sink, fake_segmenter, busy, mpeg4_packets):
    packets = [packet.data for packet in mpeg4_packets[:12]]
    packets[8] = packets[8][: len(packets[8]) // 2]
    pipeline = start(max_latency_ms=0)
    push_while_busy(pipeline, busy, packets)
    tickets = sink.take(12)
    assert tickets[8].dropped and tickets[8].fault
    assert all(ticket.waiting and not ticket.intact for ticket in tickets[9:])
    assert [ticket.segmentation is not None for ticket in tickets] == [True] + [False] * 11


def test_skipped_b_frames_are_handed_back_in_display_order(
    start, sink, fake_segmenter, reordered_packets
):
    gate = threading.Event()
    pipeline = start(wanted=lambda: Wish() if gate.wait() else None, max_latency_ms=0)
    for time, data in reordered_packets:
        pipeline.push(data, "h264", time, SECOND_NS + time)
    gate.set()  # what comes out before the newest packet is late
    tickets = sink.take(len(reordered_packets) - 5)
    assert [ticket.header for ticket in tickets] == list(range(len(tickets)))
    assert {ticket.kind for ticket in tickets} == set(FrameKind)
    assert {ticket.reason for ticket in tickets} == {SKIPPED}
    assert fake_segmenter.skipped[:19] == list(range(19))


def test_b_frames_that_keep_up_again_are_no_longer_skipped(start, sink, busy, reordered_packets):
    """That packets lie between a frame's own and the one it came out with is no delay."""
    _, gate = busy
    decoder, pipeline = StreamDecoder("h264"), start(max_latency_ms=0)
    out = [len(decoder.decode(data)) for _, data in reordered_packets]

    def push(first, last):
        for time, data in reordered_packets[first:last]:
            pipeline.push(data, "h264", time, SECOND_NS + time)

    push(0, 12)
    gate.set()
    late = sink.take(sum(out[:12]))
    assert any(ticket.reason == SKIPPED for ticket in late)
    for number in range(12, len(out)):  # one at a time: none is late
        push(number, number + 1)
        assert all(ticket.segmentation is not None for ticket in sink.take(out[number]))


def test_a_queue_has_a_bound_in_bytes(start, sink, hold, mpeg4_packets, monkeypatch):
    entered, gate = hold
    monkeypatch.setattr("twnet_ros.nodes.backlog.QUEUE_BYTES", 1000)
    pipeline = start()
    push_all(pipeline, mpeg4_packets[:1])
    entered.wait()
    pipeline.push(bytes(600), "mpeg4", "first", SECOND_NS)
    pipeline.push(bytes(600), "mpeg4", "second", SECOND_NS)
    pipeline.push(bytes(300), "mpeg4", "third", SECOND_NS)
    gate.set()
    _, first, *others = sink.take(4)
    assert first.header == "first" and first.dropped and "overflowed" in first.reason
    assert not any("overflowed" in ticket.reason and ticket.dropped for ticket in others)


@pytest.fixture
def holds_b(fake_segmenter):
    """Have B-frames wait for the anchor after them, as the engine does."""
    step = fake_segmenter.step
    held = []

    def hold_b(frame):
        if frame.kind is FrameKind.B:
            held.append(frame)
            return []
        return [*flush(), *step(frame)]

    def flush():
        results = [step(one)[0] for one in held]
        held.clear()
        return results

    fake_segmenter.step, fake_segmenter.flush = hold_b, flush


@pytest.mark.parametrize("count", [14, 15, 16])
def test_many_b_frames_in_a_row_take_no_anchor_its_turn(
    count, start, sink, holds_b, reordered_packets_of
):
    pipeline = start()
    for time, data in reordered_packets_of(count):
        pipeline.push(data, "h264", time, SECOND_NS + time)
    tickets = sink.take(2 * (count + 1) + 1)  # three anchors, and what is between them
    assert [ticket.header for ticket in tickets] == list(range(len(tickets)))
    assert [t.header for t in tickets if t.kind is not FrameKind.B] == [
        0,
        count + 1,
        2 * count + 2,
    ]
    assert all(ticket.segmentation is not None for ticket in tickets)


def test_b_frames_that_wait_come_out_when_the_stream_is_interrupted(
    start, sink, holds_b, reordered_packets
):
    """The engine holds them; what it says at the end of a stream is handed back."""
    pipeline = start()
    for time, data in reordered_packets:
        pipeline.push(data, "h264", time, SECOND_NS + time)
    pipeline.interrupt("another camera")
    pipeline.push(b"\0", "h264", "last", SECOND_NS)
    *tickets, last = sink.take(len(reordered_packets) + 1)
    labelled = [ticket.header for ticket in tickets if ticket.segmentation is not None]
    assert labelled == list(range(len(labelled)))
    assert len(labelled) >= len(reordered_packets) - 4
    assert last.header == "last" and last.fault


def test_a_ticket_that_is_not_taken_keeps_none_of_those_that_come_out_with_it(
    fake_segmenter, sink, holds_b, reordered_packets, caplog
):
    failures = [RuntimeError("nowhere to put it")]

    def fail(ticket):
        sink(ticket)
        if ticket.kind is FrameKind.B and failures:
            raise failures.pop()

    pipeline = Pipeline(fake_segmenter, fail, Wish, 100)
    for time, data in reordered_packets:
        pipeline.push(data, "h264", time, SECOND_NS + time)
    pipeline.interrupt("the end")
    pipeline.push(b"\0", "h264", "last", SECOND_NS)
    tickets = sink.take(len(reordered_packets) + 1)
    pipeline.stop()
    assert not failures and "nowhere to put it" in caplog.text
    assert {t.header for t in tickets} == {"last", *(time for time, _ in reordered_packets)}
    assert sum(t.segmentation is not None for t in tickets) >= len(reordered_packets) - 4


@pytest.mark.parametrize("structure", ["", "open-gop=1:min-keyint=12:"])
def test_every_sound_frame_is_labelled_whatever_is_lost_before_it(
    structure, start, sink, reordered_packets_as
):
    """A picture may be held back when its packet ends a fault, or tells of a loss."""
    parameters = f"keyint=12:{structure}bframes=2:b-adapt=0:b-pyramid=none:ref=1:scenecut=0"
    packets = reordered_packets_as(36, parameters)
    for lost in range(1, 15):
        left = packets[:lost] + packets[lost + 1 :]
        decoder = StreamDecoder("h264")
        sound = {f.pts for time, data in left for f in decoder.decode(data, time) if f.intact}
        pipeline = start()
        for time, data in left:
            pipeline.push(data, "h264", time, SECOND_NS + time)
        pipeline.interrupt("the end")
        pipeline.push(b"\0", "h264", "last", SECOND_NS)
        tickets = sink.take(len(left) + 1)
        assert {t.header for t in tickets if t.segmentation is not None} == sound
        assert len(sound) > 12
