"""The stream decoder: planes, order, the caller's pts, and the reference chain."""

import gc
import re
import time
from functools import partial
from itertools import pairwise

import av
import numpy as np
import pytest

from coded import encode
from twnet_ros.codec import CodecError, FrameKind, Limit, StreamDecoder, read_packets
from twnet_ros.codec.bitstream import headers_of, units
from twnet_ros.codec.completion import RawPacket, with_headers

CODECS = ["mpeg4", "h264"]
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100") + bytes(500)


def kinds(frames):
    return "".join(frame.kind.value for frame in frames)


@pytest.mark.parametrize("codec", CODECS)
def test_one_packet_in_is_one_frame_out(codec, pan, encode):
    decoder = StreamDecoder(codec)
    for index, packet in enumerate(encode(codec, pan(6), gop=4)):
        (frame,) = decoder.decode(packet.data)
        assert frame.index == index
        assert frame.kind is (FrameKind.P if index % 4 else FrameKind.I)
        assert frame.key == (frame.motion is None) == packet.key
        assert frame.intact
        assert frame.fault == ""
        assert frame.decode_ms > 0
    assert decoder.flush() == []


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [(176, 144), (188, 150), (34, 18)])
def test_planes_are_the_decoders_own(codec, size, pan, encode, raw_decode):
    width, height = size
    packets = encode(codec, pan(3, width=width, height=height))
    decoder = StreamDecoder(codec)
    pictures = raw_decode(codec, [packet.data for packet in packets])
    for packet, picture in zip(packets, pictures, strict=True):
        (frame,) = decoder.decode(packet.data)
        assert (frame.width, frame.height) == size
        planes = picture.to_ndarray()  # the three planes, flattened below each other
        chroma = planes[height:].reshape(2, height // 2, width // 2)
        np.testing.assert_array_equal(frame.y, planes[:height])
        np.testing.assert_array_equal(frame.u, chroma[0])
        np.testing.assert_array_equal(frame.v, chroma[1])


@pytest.mark.parametrize("codec", CODECS)
def test_planes_are_views_that_outlive_the_decoder(codec, pan, encode):
    packets = encode(codec, pan(8))
    decoder = StreamDecoder(codec)
    (first,) = decoder.decode(packets[0].data)
    assert not first.y.flags.owndata
    before = first.y.copy()
    for packet in packets[1:]:
        decoder.decode(packet.data)
    del decoder
    np.testing.assert_array_equal(first.y, before)


@pytest.mark.parametrize("codec", CODECS)
def test_frames_are_freed_without_the_garbage_collector(codec, pan, encode):
    def pictures():
        return sum(type(held) is av.VideoFrame for held in gc.get_objects())

    packets = encode(codec, pan(6))
    gc.collect()
    gc.disable()
    try:
        before = pictures()
        decoder = StreamDecoder(codec)
        frames = [frame for packet in packets for frame in decoder.decode(packet.data)]
        assert pictures() >= before + len(frames)
        del frames, decoder
        assert pictures() <= before
    finally:
        gc.enable()


@pytest.mark.parametrize("codec", CODECS)
def test_packets_decode_the_same_wherever_they_lie_in_memory(codec, pan, encode):
    # FFmpeg's bit readers run past the end, so what lies there must not matter.
    packets = encode(codec, pan(4))
    for _ in range(20):
        decoder = StreamDecoder(codec)
        for packet in packets:
            held = bytearray(packet.data + b"\xff" * 64)
            (frame,) = decoder.decode(bytes(held[: len(packet.data)]))
            assert frame.intact


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    "stamps",
    [
        [None] * 6,
        [7] * 6,
        [5, 4, 3, 2, 1, 0],
        [2**64 - 1, 0, -(2**63), None, 2**64 - 1, 10**30],
    ],
)
def test_pts_comes_back_untouched(codec, stamps, pan, encode):
    decoder = StreamDecoder(codec)
    packets = encode(codec, pan(6), gop=3)
    frames = [
        frame
        for packet, pts in zip(packets, stamps, strict=True)
        for frame in decoder.decode(packet.data, pts)
    ]
    assert [frame.pts for frame in frames] == stamps


def test_b_frames_come_in_display_order_with_their_own_pts(drive):
    info, packets = read_packets(drive("street_2048x1024_h264_bframes.mp4"))
    packets = list(packets)
    decoder = StreamDecoder(info.codec)
    frames = [f for packet in packets for f in decoder.decode(packet.data, packet.pts_ns)]
    frames += decoder.flush()
    assert [frame.pts for frame in frames] == sorted(packet.pts_ns for packet in packets)
    assert [frame.index for frame in frames] == list(range(30))
    assert "B" in kinds(frames)
    assert all(frame.intact for frame in frames)
    moved = [frame for frame in frames if frame.motion is not None]
    future = [(frame.motion.reference == 1).any() for frame in moved]
    assert future == [frame.kind is FrameKind.B for frame in moved]


@pytest.mark.parametrize("codec", CODECS)
def test_no_frame_is_intact_before_the_first_i_frame(codec, pan, encode):
    packets = encode(codec, pan(10), gop=4)
    decoder = StreamDecoder(codec)
    decoder.decode(headers_of(codec, packets[0].data))
    frames = [frame for packet in packets[1:] for frame in decoder.decode(packet.data)]
    early = {"mpeg4": "PPP", "h264": ""}[codec]  # FFmpeg gives pictures from before it of MPEG-4
    assert kinds(frames) == early + "IPPPIP"
    assert [frame.intact for frame in frames] == [False] * len(early) + [True] * 6
    assert {frame.fault for frame in frames} <= {"waiting for a key frame", ""}
    assert [frame.index for frame in frames] == list(range(len(frames)))


@pytest.mark.parametrize("codec", CODECS)
def test_joining_late_waits_for_a_key_frame(codec, pan, encode):
    packets = encode(codec, pan(5), gop=4)
    decoder = StreamDecoder(codec)
    assert decoder.fault == "waiting for a key frame"
    # Without headers nothing can be decoded, and that is no error.
    for packet in packets[1:4]:
        assert decoder.decode(packet.data) == []
        assert decoder.fault == "waiting for a key frame"
    (frame,) = decoder.decode(packets[4].data)
    assert frame.key
    assert frame.intact


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (b"", "got an empty packet"),
        (JPEG, "got a JPEG image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "got a PNG image"),
        (b"\x12\x34\x56" * 100, "got 12 34 56 12"),
        (bytes(100), "start code 00 00 01"),
        (b"\x00" + b"\x22" * 100, "got 00 22 22 22"),
        (b"\x00\x00\x22\x22" * 30, "got 00 00 22 22"),
        (b"\x00\x00\x01\xf0" * 20, "unit that starts with 00 00 01 f0"),
    ],
)
def test_what_is_no_packet_breaks_the_chain_until_the_next_i_frame(
    codec, bad, expected, pan, encode
):
    packets = encode(codec, pan(10), gop=4)
    decoder = StreamDecoder(codec)
    for packet in packets[:2]:
        decoder.decode(packet.data)
    with pytest.raises(CodecError, match=expected) as error:
        decoder.decode(bad)
    reason = f"waiting for a key frame: {error.value}"
    assert decoder.fault == reason
    frames = [frame for packet in packets[2:] for frame in decoder.decode(packet.data)]
    start = next(i for i, frame in enumerate(frames) if frame.key)
    assert all(frame.fault == reason for frame in frames[:start])
    assert not any(frame.intact for frame in frames[:start])
    assert kinds(frames[start:]) == "IPPPIP"
    assert all(frame.intact for frame in frames[start:])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("position", [0, 2])
def test_truncated_packets_are_noticed(codec, position, pan, encode):
    packets = [packet.data for packet in encode(codec, noisy(pan(9)), gop=4)]
    whole = packets[position]
    picture = whole.rfind(b"\x00\x00\x01")
    room = len(whole) - picture
    for cut in [
        *range(picture + 3, picture + 6),
        *(picture + room * k // 16 for k in range(1, 16)),
    ]:
        decoder = StreamDecoder(codec)
        for data in packets[:position]:
            decoder.decode(data)
        with pytest.raises(CodecError, match="expected"):
            decoder.decode(whole[:cut])
        assert decoder.fault
        rest = [frame for data in packets[position + 1 :] for frame in decoder.decode(data)]
        start = next(i for i, frame in enumerate(rest) if frame.key)
        assert not any(frame.intact for frame in rest[:start])
        assert kinds(rest[start:]) == "IPPPI"
        assert all(frame.intact for frame in rest[start:])


def test_a_lost_slice_is_noticed(pan):
    packets = sliced(pan(3))
    starts = [k for k in range(len(packets[1])) if packets[1].startswith(b"\x00\x00\x01", k)]
    assert len(starts) == 4
    bounds = [*starts, len(packets[1])]
    for lost in range(4):
        decoder = StreamDecoder("h264")
        decoder.decode(packets[0])
        with pytest.raises(CodecError, match="expected a whole P picture"):
            decoder.decode(packets[1][: bounds[lost]] + packets[1][bounds[lost + 1] :])
    decoder = StreamDecoder("h264")
    assert kinds([frame for data in packets for frame in decoder.decode(data)]) == "IPP"


@pytest.mark.parametrize("codec", CODECS)
def test_a_lost_packet_breaks_the_chain_until_the_next_i_frame(codec, pan, encode):
    packets = [packet.data for packet in encode(codec, pan(20, dx=2), gop=8)]
    decoder = StreamDecoder(codec)
    for data in packets[:4]:
        decoder.decode(data)
        assert decoder.notice == ""
    frames = decoder.decode(packets[5])
    reason = {
        "h264": "lost packets: expected frame_num 4, got 5",
        "mpeg4": "lost packets: expected VOP times 1 apart, got 5 after 3",
    }[codec]
    assert decoder.notice == reason
    assert decoder.fault == f"waiting for a key frame: {reason}"
    frames += [frame for data in packets[6:8] for frame in decoder.decode(data)]
    assert decoder.fault == f"waiting for a key frame: {reason}"
    assert not any(frame.intact for frame in frames)
    frames = [frame for data in packets[8:] for frame in decoder.decode(data)]
    assert kinds(frames) == "IPPPPPPPIPPP"
    assert all(frame.intact for frame in frames)
    assert decoder.fault == decoder.notice == ""


@pytest.mark.parametrize("codec", CODECS)
def test_a_loss_before_a_key_frame_is_none(codec, pan, encode):
    packets = [packet.data for packet in encode(codec, pan(12), gop=6)]
    decoder = StreamDecoder(codec)
    for data in packets[:5]:
        decoder.decode(data)
    (frame,) = decoder.decode(packets[6])
    assert frame.intact
    assert decoder.fault == ""
    # Only MPEG-4 has times that go on; an IDR picture begins anew.
    assert bool(decoder.notice) == (codec == "mpeg4")


@pytest.mark.parametrize("codec", CODECS)
def test_a_repeated_packet_is_left_out(codec, pan, encode, raw_decode):
    packets = [packet.data for packet in encode(codec, pan(10), gop=5)]
    pictures = raw_decode(codec, packets)
    decoder = StreamDecoder(codec)
    frames = []
    for number, data in enumerate(packets):
        frames += decoder.decode(data, number)
        if number % 5:
            assert decoder.decode(data, number) == []
            assert decoder.notice.startswith("repeated packet")
            assert decoder.fault == ""
    assert [frame.pts for frame in frames] == list(range(10))
    for frame, whole in zip(frames, pictures, strict=True):
        assert frame.intact
        np.testing.assert_array_equal(frame.y, whole.to_ndarray()[: frame.height])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("lost", range(10, 34, 2))
def test_frames_after_a_loss_among_b_frames_are_right_or_not_intact(
    codec, lost, pan, encode_reordered, decode_all
):
    packets = encode_reordered(codec, pan(48, dx=1))
    whole = decode_all(codec, list(enumerate(packets)))
    assert len(whole) == 48
    some = decode_all(codec, [(n, data) for n, data in enumerate(packets) if n != lost])
    intact = [pts for pts, (frame, _) in some.items() if frame.intact]
    assert all(some[pts][1] == whole[pts][1] for pts in intact)
    assert len(intact) >= 48 - 24  # two GOPs at worst


@pytest.mark.parametrize("codec", CODECS)
def test_each_frame_follows_the_one_before_but_after_a_fault(codec, pan, encode_reordered):
    packets = encode_reordered(codec, pan(48, dx=1))
    decoder = StreamDecoder(codec)
    for before in (True, False):
        frames = [frame for data in packets for frame in decoder.decode(data)]
        frames += decoder.flush()
        assert [frame.index for frame in frames if not frame.follows] == [frames[0].index]
        assert before == (frames[0].index == 0)


def test_decoding_takes_no_longer_than_it_takes(pan, encode_reordered):
    """Frames that come out together share the time of the call that they come from."""
    packets = encode_reordered("h264", pan(24, dx=1))
    decoder = StreamDecoder("h264")
    calls = [partial(decoder.decode, data) for data in packets] + [decoder.flush]
    counts = []
    for call in calls:
        started = time.perf_counter()
        frames = call()
        wall_ms = (time.perf_counter() - started) * 1e3
        assert all(frame.decode_ms > 0 for frame in frames)
        assert sum(frame.decode_ms for frame in frames) <= wall_ms
        counts.append(len(frames))
    assert sum(counts) == 24
    assert max(counts) > 1


@pytest.mark.parametrize("codec", CODECS)
def test_headers_in_a_packet_of_their_own(codec, pan, encode):
    data = encode(codec, pan(1))[0].data
    picture = data.rfind(b"\x00\x00\x01")
    decoder = StreamDecoder(codec)
    assert decoder.decode(data[:picture]) == []
    (frame,) = decoder.decode(data[picture:])
    assert frame.key
    assert frame.intact


@pytest.mark.parametrize("codec", CODECS)
def test_size_may_change_at_an_i_frame(codec, pan, encode):
    decoder = StreamDecoder(codec)
    sizes = []
    for width, height in [(176, 144), (96, 80), (320, 192)]:
        for packet in encode(codec, pan(3, width=width, height=height)):
            (frame,) = decoder.decode(packet.data)
            assert frame.intact
            sizes.append((frame.width, frame.height))
    assert sizes == [(176, 144)] * 3 + [(96, 80)] * 3 + [(320, 192)] * 3


def test_size_may_not_change_in_between(pan, encode):
    small = encode("mpeg4", pan(2, width=96, height=80))
    headers = small[0].data[: small[0].data.index(b"\x00\x00\x01\xb3")]
    decoder = StreamDecoder("mpeg4")
    decoder.decode(encode("mpeg4", pan(1))[0].data)
    (frame,) = decoder.decode(headers + small[1].data)
    assert (frame.width, frame.height) == (96, 80)
    assert frame.fault == "expected 176x144 px up to the next key frame, got 96x80"
    assert not frame.intact
    (frame,) = decoder.decode(small[0].data)
    assert frame.intact


@pytest.mark.parametrize("codec", CODECS)
def test_flush_waits_for_the_next_key_frame(codec, pan, encode):
    packets = encode(codec, pan(8), gop=4)
    decoder = StreamDecoder(codec)
    for packet in packets[:2]:
        decoder.decode(packet.data)
    assert decoder.fault == ""
    decoder.flush()
    assert decoder.fault == "waiting for a key frame"
    frames = [frame for packet in packets[2:] for frame in decoder.decode(packet.data)]
    assert {f.fault for f in frames if not f.intact} <= {"waiting for a key frame"}
    assert kinds([frame for frame in frames if frame.intact]) == "IPPP"


@pytest.mark.parametrize("codec", CODECS)
def test_after_a_loss_a_key_frame_without_headers_will_do(codec, pan, encode):
    packets = [packet.data for packet in encode(codec, pan(12), gop=4)]
    headers = headers_of(codec, packets[0])
    bare = [data.replace(headers, b"") for data in packets]
    decoder = StreamDecoder(codec)
    decoder.decode(packets[0])
    decoder.lose("the queue overflowed")
    assert decoder.fault == "waiting for a key frame: the queue overflowed"
    frames = [frame for data in bare[3:6] for frame in decoder.decode(data)]
    assert kinds([frame for frame in frames if frame.intact]) == "IP"
    # Headers on their own wait for the next picture, whatever comes between.
    decoder = StreamDecoder(codec)
    decoder.decode(headers)
    with pytest.raises(CodecError):
        decoder.decode(JPEG)
    (frame,) = decoder.decode(bare[8])
    assert frame.intact


@pytest.mark.parametrize("left_out", [7, 8])
def test_key_pictures_may_repeat_some_parameter_sets_alone(left_out, pan, encode):
    packets = [packet.data for packet in encode("h264", pan(12), gop=4)]
    whole = StreamDecoder("h264")
    expected = [frame for data in packets for frame in whole.decode(data)]
    headers = headers_of("h264", packets[0])
    sets = [offset for offset, _ in units(headers)]
    own = {headers[a + 3] & 0x1F: headers[a:b] for a, b in pairwise([*sets, len(headers)])}
    bare = [data if n == 0 else data.replace(own[left_out], b"") for n, data in enumerate(packets)]
    assert len(bare[4]) < len(packets[4])
    decoder = StreamDecoder("h264")
    found = [frame for data in bare for frame in decoder.decode(data)]
    assert kinds(found) == kinds(expected) == "IPPP" * 3
    for one, other in zip(found, expected, strict=True):
        assert one.intact and one.y.tobytes() == other.y.tobytes()
    # Nor do they take the place of those that a container puts in front of bare ones.
    sent = [RawPacket(data, n, n % 4 == 0) for n, data in enumerate(bare)]
    sent[8] = RawPacket(packets[8].replace(headers, b""), 8, True)
    completed = list(with_headers("h264", sent))
    assert all(own[left_out] in completed[key].data for key in (0, 4, 8))


@pytest.mark.parametrize(
    "rest", [b"\0", b"\0\0\0", b"\0\0\1\xb1", b"\0\0\1\xb2user", b"\0\0\1\xb3\0\0\x30"]
)
def test_what_stands_behind_a_picture_of_mpeg4_does_not_matter(rest, pan, encode):
    packets = [packet.data for packet in encode("mpeg4", pan(8), gop=4)]
    whole, decoder = StreamDecoder("mpeg4"), StreamDecoder("mpeg4")
    for data in packets:
        (expected,), (found,) = whole.decode(data), decoder.decode(data + rest)
        assert found.intact and found.y.tobytes() == expected.y.tobytes()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("order", [1, -1])
def test_every_picture_of_a_packet_is_within_the_limit(codec, order, pan_over, encode):
    small, large = (
        encode(codec, pan_over(1, width=side, height=side, square=4, blur=4))[0].data
        for side in (64, 256)
    )
    decoder = StreamDecoder(codec, limit=Limit(pixels=128 * 128))
    with pytest.raises(CodecError, match="expected pictures of at most 16384 px, got 65536 px"):
        decoder.decode(b"".join([small, large][::order]))


@pytest.mark.parametrize("codec", CODECS)
def test_headers_found_in_what_was_lost_serve_the_next_key_frame(codec, pan, encode):
    packets = [packet.data for packet in encode(codec, pan(6), gop=4)]
    headers = headers_of(codec, packets[0])
    decoder = StreamDecoder(codec)
    decoder.lose("the queue overflowed", headers)
    frames = [
        frame for data in packets[2:] for frame in decoder.decode(data.replace(headers, b""))
    ]
    assert kinds([frame for frame in frames if frame.intact]) == "IP"


@pytest.mark.parametrize(
    ("codec", "size", "colorspace", "matrix"),
    [
        ("h264", (176, 144), 2, "bt601"),
        ("h264", (1280, 720), 2, "bt709"),
        ("h264", (176, 144), 1, "bt709"),
        ("h264", (1280, 720), 4, "bt601"),
        ("h264", (1280, 720), 5, "bt601"),
        ("h264", (1280, 720), 6, "bt601"),
        ("mpeg4", (1280, 720), 2, "bt601"),
    ],
)
def test_color_matrix_is_the_streams_or_by_convention(codec, size, colorspace, matrix):
    (frame,) = StreamDecoder(codec).decode(gray(codec, size, "yuv420p", colorspace, 1))
    assert frame.color_matrix == matrix
    assert not frame.full_range


def test_full_range_is_read_from_the_stream():
    (frame,) = StreamDecoder("h264").decode(gray("h264", (64, 64), "yuvj420p", 2, 2))
    assert frame.full_range


def test_other_matrices_are_refused():
    with pytest.raises(CodecError, match="expected colour matrix.*got matrix coefficients 9"):
        StreamDecoder("h264").decode(gray("h264", (64, 64), "yuv420p", 9, 1))


@pytest.mark.parametrize("codec", ["vp8", "H264", "libx264", ""])
def test_other_codecs_are_refused(codec):
    with pytest.raises(CodecError, match="expected a codec of h264, mpeg4, hevc, vp9, av1"):
        StreamDecoder(codec)


@pytest.mark.parametrize("codec", CODECS)
def test_the_other_codecs_packets_are_refused(codec, pan, encode):
    other = CODECS[1 - CODECS.index(codec)]
    packet = encode(other, pan(1))[0]
    with pytest.raises(CodecError, match="unit that starts with"):
        StreamDecoder(codec).decode(packet.data)


def noisy(frames):
    """Add noise, so that packets are long."""
    rng = np.random.default_rng(0)
    noise = rng.integers(-20, 20, (len(frames), *frames[0].shape))
    return list(np.clip(np.array(frames) + noise, 0, 255).astype(np.uint8))


def sliced(frames, parameters="bframes=0"):
    options = {"x264-params": f"slices=4:ref=1:keyint=12:scenecut=0:{parameters}"}
    return encode("h264", frames, options)


def test_frames_held_back_outlive_a_broken_packet(pan, encode_reordered, decode_all):
    packets = encode_reordered("h264", noisy(pan(24, dx=1)))
    whole = decode_all("h264", list(enumerate(packets)))
    rescued = []
    for broken in range(6, 12):
        decoder = StreamDecoder("h264")
        frames = []
        for number, data in enumerate(packets[:broken]):
            frames += decoder.decode(data, number)
        before = len(frames)
        frames += decoder.decode(packets[broken][: len(packets[broken]) // 2], broken)
        with pytest.raises(CodecError, match="one that the decoder had to conceal"):
            frames += decoder.flush()
        frames += decoder.flush()
        intact = [frame for frame in frames if frame.intact]
        assert {frame.pts for frame in intact} < set(range(broken + 1))
        assert all(frame.y.tobytes() == whole[frame.pts][1] for frame in intact)
        rescued.append((broken % 3, len(intact) - before))
    # Of a broken anchor the B-frame before it in the stream is left, of a broken B-frame the other
    # one, too, and the anchor that waited for both.
    assert rescued == [(0, 1), (1, 3), (2, 3), (0, 1), (1, 3), (2, 3)]


def without_a_slice(data, number):
    starts = [k for k in range(len(data)) if data.startswith(b"\x00\x00\x01", k)]
    starts = [k for k in starts if data[k + 3] & 0x1F in (1, 5)]
    bounds = [*starts, len(data)]
    return data[: bounds[number]] + data[bounds[number + 1] :]


def without_a_video_packet(data):
    start = data.find(b"\x00\x00\x01\xb6") + 4
    marks = [match.start() for match in re.finditer(rb"\x00\x00[\x80-\xff]", data[start:])]
    return data[: start + marks[0]] + data[start + marks[1] :]


@pytest.mark.parametrize("keep_broken", [False, True])
@pytest.mark.parametrize("pyramid", ["none", "normal"])
def test_b_frames_of_an_anchor_that_lost_a_slice_are_not_taken_for_whole(
    pyramid, keep_broken, pan, decode_all
):
    """FFmpeg says that a picture lacks a part only when it comes out, after those between."""
    packets = sliced(noisy(pan(24, dx=1)), f"bframes=3:b-adapt=0:b-pyramid={pyramid}")
    whole = decode_all("h264", list(enumerate(packets)))
    for lost in range(2, 24):
        damaged = list(enumerate(packets))
        damaged[lost] = (lost, without_a_slice(packets[lost], lost % 4))
        found = decode_all("h264", damaged, keep_broken=keep_broken)
        intact = [pts for pts, (frame, _) in found.items() if frame.intact]
        assert all(found[pts][1] == whole[pts][1] for pts in intact)
        assert len(intact) >= 8
        assert lost not in intact


@pytest.mark.parametrize("second", [b"", b"\xff\xd8\xff\xe0", None])
def test_b_frames_of_a_damaged_anchor_are_not_rescued_from_a_broken_packet(
    second, pan, decode_all
):
    """The anchor is still in FFmpeg, and may never come out, when a later packet is broken."""
    packets = sliced(noisy(pan(16, dx=1)), "bframes=2:b-adapt=0")
    whole = decode_all("h264", list(enumerate(packets)))
    for lost in range(3, 12):
        for broken in range(lost + 1, lost + 4):
            damaged = list(enumerate(packets))
            damaged[lost] = (lost, without_a_slice(packets[lost], 1))
            cut = packets[broken][: len(packets[broken]) // 2] if second is None else second
            damaged[broken] = (broken, cut)
            found = decode_all("h264", damaged)
            intact = [pts for pts, (frame, _) in found.items() if frame.intact]
            assert all(found[pts][1] == whole[pts][1] for pts in intact)
            assert len(intact) >= 4


@pytest.mark.parametrize("number", [1, 12])
def test_a_frame_that_lost_a_slice_is_kept_as_broken(number, pan):
    packets = sliced(noisy(pan(14)))
    decoder = StreamDecoder("h264", keep_broken=True)
    for data in packets[:number]:
        decoder.decode(data)
    (frame,) = decoder.decode(without_a_slice(packets[number], 2))
    assert not frame.intact
    assert "had to conceal" in frame.fault


def test_b_frames_of_an_anchor_that_lost_a_video_packet_are_not_taken_for_whole(pan, decode_all):
    settings = {"gop_size": 12, "max_b_frames": 2, "bit_rate": 2_000_000}
    packets = encode("mpeg4", noisy(pan(24, dx=1)), {"ps": "300"}, **settings)
    whole = decode_all("mpeg4", list(enumerate(packets)))
    for lost in range(1, 20, 3):  # the anchors
        damaged = list(enumerate(packets))
        damaged[lost] = (lost, without_a_video_packet(packets[lost]))
        found = decode_all("mpeg4", damaged)
        intact = [pts for pts, (frame, _) in found.items() if frame.intact]
        assert all(found[pts][1] == whole[pts][1] for pts in intact)
        assert len(intact) >= 8
        assert lost not in intact


def test_frames_before_one_that_is_damaged_at_the_end_come_with_the_next_flush(pan, decode_all):
    packets = sliced(noisy(pan(24, dx=1)), "bframes=3:b-adapt=0:b-pyramid=normal")
    whole = decode_all("h264", list(enumerate(packets)))
    decoder = StreamDecoder("h264")
    frames = []
    for number, data in enumerate([*packets[:-1], without_a_slice(packets[-1], 2)]):
        frames += decoder.decode(data, number)
    with pytest.raises(CodecError, match="decoder had to conceal"):
        decoder.flush()
    last = decoder.flush()
    assert last and all(frame.intact for frame in last)
    assert all(frame.y.tobytes() == whole[frame.pts][1] for frame in frames + last)
    assert decoder.flush() == []


def gray(codec, size, pixel_format, colorspace, color_range):
    """One I frame with the given signalling."""
    picture = av.VideoFrame(*size, pixel_format)
    for plane in picture.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    colors = {"pix_fmt": pixel_format, "colorspace": colorspace, "color_range": color_range}
    (data,) = encode(codec, [picture], max_b_frames=0, **colors)
    return data
