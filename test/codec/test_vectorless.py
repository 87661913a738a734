"""HEVC, VP9 and AV1: sound pictures or none, key pictures told apart, and no vectors."""

import random
from itertools import pairwise

import av
import numpy as np
import pytest

from coded import encode
from twnet_ros.codec import CodecError, FrameKind, Limit, StreamDecoder, read_packets
from twnet_ros.codec.bitstream import headers_of, inspect_packet
from twnet_ros.codec.payload import annexb_payload

GOP = 6
FRAMES = 18
X265 = "keyint=6:min-keyint=6:scenecut=0:log-level=none:repeat-headers=1:open-gop=0:bframes="
STREAMS = {
    "hevc": ("hevc", "libx265", {"x265-params": X265 + "0"}),
    "hevc_bframes": ("hevc", "libx265", {"x265-params": X265 + "2:b-adapt=0"}),
    "vp9": ("vp9", "libvpx-vp9", {"lag-in-frames": "0", "deadline": "realtime", "cpu-used": "8"}),
    "vp9_altref": ("vp9", "libvpx-vp9", {"lag-in-frames": "8", "auto-alt-ref": "1"}),
    "av1": ("av1", "libsvtav1", {"preset": "11"}),
}
HEVC = pytest.mark.parametrize("stream", ["hevc", "hevc_bframes"], indirect=True)
AT_ONCE = pytest.mark.parametrize(
    "stream", [s for s in STREAMS if s != "hevc_bframes"], indirect=True
)
DAMAGED_VP9_HEADS = [
    bytes.fromhex(head)
    for head in (
        "866b4068256cc9c0001118a6",
        "844b44921d28e9200007740b",
        "8600409029354900bfba0227",
        "8680df0c2f2c09bd00f176a0",
        "86bb406c3b584800692276a5",
        "861064e459243485000f10e3",
        "a502445894254d42a0114f26",
    )
]
DECODERS = {"hevc": "hevc", "vp9": "vp9", "av1": "libdav1d"}


def encoded(name, options, frames):
    return encode(name, frames, options, gop_size=GOP, bit_rate=800_000)


@pytest.fixture(scope="session", params=STREAMS)
def stream(request, pan_over):
    """A codec, and the packets of a clip with a key picture every sixth."""
    codec, name, options = STREAMS[request.param]
    packets = encoded(name, options, pan_over(FRAMES, width=192, height=160, square=4, blur=4))
    assert sum(inspect_packet(codec, data).key for data in packets) == FRAMES // GOP
    return codec, packets


@pytest.fixture(scope="session")
def pictures(stream):
    """What FFmpeg alone makes of the stream, luma in display order."""
    codec, packets = stream
    context = av.CodecContext.create(DECODERS[codec], "r")
    context.thread_count = 1
    shown = [picture for data in packets for picture in context.decode(av.Packet(data))]
    return [picture.to_ndarray()[:160] for picture in shown + context.decode(None)]


@pytest.mark.parametrize("stream", ["vp9", "av1"], indirect=True)
def test_the_second_picture_of_a_packet_claims_no_motion(stream):
    codec, packets = stream
    if codec == "vp9":
        pairs = [superframe(a, b) for a, b in zip(packets[::2], packets[1::2], strict=True)]
    else:
        pairs = [a + b for a, b in zip(packets[::2], packets[1::2], strict=True)]
    frames = decode(codec, pairs)
    assert len(frames) > len(pairs)
    assert all(frame.motion is None for frame in frames)


def superframe(*frames):
    """Frames of VP9 in one packet (Annex B of its specification), sizes of 4 bytes."""
    marker = bytes([0b11000000 | 3 << 3 | len(frames) - 1])
    sizes = b"".join(len(frame).to_bytes(4, "little") for frame in frames)
    return b"".join(frames) + marker + sizes + marker


def decode(codec, packets, decoder=None):
    """Frames of all packets that decode, the last ones with the flush."""
    decoder = decoder or StreamDecoder(codec)
    frames = []
    for number, data in enumerate(packets):
        try:
            frames += decoder.decode(data, pts=number)
        except CodecError:
            assert decoder.fault
    try:
        return frames + decoder.flush()
    except CodecError:
        return frames


def test_pictures_are_ffmpegs_own_in_display_order_and_come_without_motion(stream, pictures):
    codec, packets = stream
    decoder = StreamDecoder(codec)
    frames = decode(codec, packets, decoder)
    assert len(frames) == len(pictures) == FRAMES
    for number, (frame, luma) in enumerate(zip(frames, pictures, strict=True)):
        np.testing.assert_array_equal(frame.y, luma)
        assert (frame.index, frame.intact, frame.motion) == (number, True, None)
        assert frame.key == (frame.kind is FrameKind.I) == (number % GOP == 0)
    assert sorted(frame.pts for frame in frames) == list(range(FRAMES))
    assert "without motion vectors" in decoder.caveat


@AT_ONCE
def test_without_reordering_every_packet_gives_its_frame_at_once(stream):
    codec, packets = stream
    decoder = StreamDecoder(codec)
    for number, data in enumerate(packets):
        (frame,) = decoder.decode(data, pts=number)
        assert frame.pts == number


def test_decoding_begins_with_any_key_picture_and_with_nothing_else(stream, pictures):
    codec, packets = stream
    for start in range(GOP + 1):
        key = 0 if start == 0 else GOP
        frames = decode(codec, packets[start:])
        assert [frame.intact for frame in frames] == [True] * (FRAMES - key)
        for frame, luma in zip(frames, pictures[key:], strict=True):
            np.testing.assert_array_equal(frame.y, luma)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_gives_packets_that_decode_from_each_key_packet(
    stream, pictures, suffix, tmp_path, request
):
    codec, encoder, options = STREAMS[request.node.callspec.params["stream"]]
    path = tmp_path / f"clip{suffix}"
    with av.open(str(path), "w") as container:
        out = container.add_stream(encoder, rate=17)
        out.width, out.height, out.pix_fmt, out.options = 192, 160, "yuv420p", options
        out.codec_context.gop_size = GOP
        for luma in pictures:
            picture = av.VideoFrame.from_ndarray(luma, "gray").reformat(format="yuv420p")
            container.mux(out.encode(picture))
        container.mux(out.encode(None))
    info, read = read_packets(path)
    read = list(read)
    assert (info.codec, info.width, info.height) == (codec, 192, 160)
    keys = [number for number, packet in enumerate(read) if packet.key]
    assert len(keys) == FRAMES // GOP
    whole = decode(codec, [packet.data for packet in read])
    assert len(whole) == FRAMES
    for count, key in enumerate(keys):
        frames = decode(codec, [packet.data for packet in read[key:]])
        assert len(frames) == FRAMES - GOP * count
        for frame, expected in zip(frames, whole[-len(frames) :], strict=True):
            np.testing.assert_array_equal(frame.y, expected.y)


@HEVC
def test_hevc_gives_no_wrong_picture_after_a_loss_and_all_from_the_next_key_picture(
    stream, pictures
):
    codec, packets = stream
    sound = {frame.pts: frame.y for frame in decode(codec, packets)}
    for lost in range(FRAMES):
        frames = decode(codec, packets[:lost] + packets[lost + 1 :])
        for frame in frames:
            number = frame.pts + (frame.pts >= lost)
            assert frame.intact
            np.testing.assert_array_equal(frame.y, sound[number])
        # Of the GOPs that lost nothing all pictures came.
        begin = lost // GOP * GOP
        assert len(frames) >= FRAMES - GOP
        kept = {frame.pts + (frame.pts >= lost) for frame in frames}
        assert kept >= set(range(begin)) | set(range(begin + GOP, FRAMES))


def test_a_key_picture_of_an_open_gop_ends_a_fault_without_the_pictures_before_it(pan_over):
    """A CRA picture: those shown before it may refer past it, and are left out."""
    options = {"x265-params": X265.replace("open-gop=0", "open-gop=1") + "2:b-adapt=0"}
    frames = pan_over(FRAMES, width=192, height=160, square=4, blur=4)
    packets = encoded("libx265", options, frames)
    keys = [n for n, data in enumerate(packets) if inspect_packet("hevc", data).key]
    assert keys == [0, 4, 10]  # each before the two B-frames that are shown before it
    sound = {frame.pts: frame.y for frame in decode("hevc", packets)}
    for lost, key in ((1, 4), (5, 10)):
        frames = decode("hevc", packets[:lost] + packets[lost + 1 :])
        found = {frame.pts + (frame.pts >= lost): frame for frame in frames}
        assert found.keys() >= {key, *range(key + 3, FRAMES)}
        for number, frame in found.items():
            assert frame.intact
            np.testing.assert_array_equal(frame.y, sound[number])


@HEVC
def test_a_repeated_hevc_packet_is_left_out(stream):
    codec, packets = stream
    decoder = StreamDecoder(codec)
    notices = []
    for number in (0, 1, 1, *range(2, FRAMES)):
        decoder.decode(packets[number])
        notices.append(decoder.notice)
    assert [number for number, notice in enumerate(notices) if notice] == [2]
    assert "repeated" in notices[2]


def test_idr_pictures_of_hevc_that_show_the_same_are_all_decoded(pan_over):
    options = {"x265-params": "keyint=1:qp=30:info=0:repeat-headers=1"}
    still = pan_over(1, width=192, height=160, square=4, blur=4) * 30
    packets = encoded("libx265", options, still)
    assert sum(one == other for one, other in pairwise(packets)) > 5
    decoder = StreamDecoder("hevc")
    frames = [one for data in packets for one in decoder.decode(data)]
    assert len(frames + decoder.flush()) == 30
    assert all(one.intact for one in frames)


def test_damage_ends_with_the_next_key_picture(stream, pictures):
    """Whatever a damaged packet does, the next key picture and all after it are sound."""
    codec, packets = stream
    rng = random.Random(0)
    refused = 0
    decoder = StreamDecoder(codec)
    for _ in range(60):
        damaged = list(packets)
        victim = rng.randrange(GOP)
        data = bytearray(damaged[victim])
        for _ in range(rng.choice((1, 1, 8, 64))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        damaged[victim] = bytes(data[: rng.choice((len(data), rng.randrange(1, len(data) + 1)))])
        frames = decode(codec, damaged, decoder)
        refused += len(frames) < FRAMES
        after = [frame for frame in frames if frame.pts >= GOP]
        assert [frame.intact for frame in after] == [True] * (FRAMES - GOP)
        for frame, luma in zip(after, pictures[GOP:], strict=True):
            np.testing.assert_array_equal(frame.y, luma)
    assert refused > 4  # fewest with VP9, which notices least


@pytest.mark.parametrize("stream", ["vp9"], indirect=True)
def test_what_a_damaged_vp9_frame_leaves_in_the_decoder_ends_with_the_next_key_frame(
    stream, pictures
):
    """Found by fuzzing: FFmpeg takes no frame at all any more after some of these."""
    codec, packets = stream
    for head in DAMAGED_VP9_HEADS:
        for victim in range(1, GOP):
            damaged = list(packets)
            damaged[victim] = head + packets[victim][len(head) :]
            after = [frame for frame in decode(codec, damaged) if frame.pts >= GOP]
            assert [frame.intact for frame in after] == [True] * (FRAMES - GOP)
            for frame, luma in zip(after, pictures[GOP:], strict=True):
                np.testing.assert_array_equal(frame.y, luma)


@HEVC
def test_length_prefixed_hevc_is_read(stream):
    codec, packets = stream
    for data in packets:
        parts = data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]
        prefixed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        assert annexb_payload(codec, prefixed) == b"".join(b"\0\0\0\1" + p for p in parts)
        assert annexb_payload(codec, data) == data
        for size in range(0, len(prefixed) - 1, 97):
            assert annexb_payload(codec, prefixed[:size]) == prefixed[:size]


def test_headers_are_found(stream):
    codec, packets = stream
    headers = headers_of(codec, packets[0])
    assert bool(headers) == (codec != "vp9")
    if headers:
        content = inspect_packet(codec, headers)
        assert (content.header, content.picture, content.key) == (True, -1, False)
        assert headers in packets[0]
    assert headers_of(codec, packets[1]) == b""


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        ("hevc", b"\0\0\0\1\xff\xff\xff\xff\xff\xff"),
        ("hevc", b"\xff\xd8\xff\xe0"),
        ("vp9", b"\xff\xd8\xff\xe0"),
        ("vp9", b"\x82"),
        ("vp9", b"\x82\x00\x00\x00\x00"),
        ("av1", b"\xff\xd8\xff\xe0"),
        ("av1", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("av1", b"\x0a\x20\x00"),
        ("av1", b""),
    ],
)
def test_what_is_no_packet_is_refused(codec, data):
    with pytest.raises(CodecError, match="expected"):
        StreamDecoder(codec).decode(data)


@HEVC
def test_cut_headers_of_hevc_give_nothing_and_do_no_harm(stream, pictures):
    codec, packets = stream
    decoder = StreamDecoder(codec)
    assert decoder.decode(b"\0\0\0\1\x42") == []  # an SPS's first byte
    for frame, luma in zip(decode(codec, packets, decoder), pictures, strict=True):
        assert frame.intact
        np.testing.assert_array_equal(frame.y, luma)


def test_larger_pictures_than_allowed_are_refused(stream):
    codec, packets = stream
    decoder = StreamDecoder(codec, limit=Limit(pixels=192 * 160 - 1))
    assert decode(codec, packets, decoder) == []
    assert decoder.fault
    decoder = StreamDecoder(codec, limit=Limit(pixels=192 * 192))
    assert len(decode(codec, packets, decoder)) == FRAMES


def test_damage_shows_where_pictures_of_hevc_have_a_hash(pan_over):
    options = {"x265-params": f"{X265}0:hash=1"}
    frames = pan_over(6, width=192, height=160, square=4, blur=4)
    packets = encoded("libx265", options, frames)
    assert all(frame.intact for frame in decode("hevc", packets))
    slice_at = packets[3].rindex(b"\x00\x00\x01\x02") + 30  # a trailing picture
    for at in range(slice_at, slice_at + 40, 4):
        decoder = StreamDecoder("hevc")
        for data in packets[:3]:
            decoder.decode(data)
        flipped = bytearray(packets[3])
        flipped[at] ^= 0x10
        with pytest.raises(CodecError, match="decode error"):
            decoder.decode(bytes(flipped))
