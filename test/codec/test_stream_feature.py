"""What streams may do besides I and P pictures: it is right, without motion, or refused.

Every stream here is an encoder's own, or one whose headers were changed.
"""

import re
from contextlib import suppress

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from coded import encode
from twnet_ros.codec import CodecError, FrameKind, StreamDecoder, h264, h264_parameter
from twnet_ros.codec.bitstream import START_CODE, headers_of, units
from twnet_ros.codec.encoder import ClipEncoder
from twnet_ros.codec.sequence import sequence_of

PLAIN = "bframes=0:ref=1:weightp=0"


@pytest.fixture
def noisy_pan(pan):
    """Pan to and fro, with noise, so that nothing is predicted for nothing."""

    def make(count):
        rng = np.random.default_rng(0)
        views = pan(40, dx=1)
        frames = np.array([[*views, *views[::-1]][n % 80] for n in range(count)]).astype(int)
        return np.clip(frames + rng.integers(-10, 11, frames.shape), 0, 255).astype(np.uint8)

    return make


def x264(frames, parameters, *, bf=0, gop=12):
    options = {"x264-params": parameters}
    return encode("h264", frames, options, gop_size=gop, max_b_frames=bf)


def mpeg4(frames, *, bf=0, gop=12, **options):
    rate = {"bit_rate": 2_000_000, "bit_rate_tolerance": 4_000_000}
    return encode("mpeg4", frames, options, gop_size=gop, max_b_frames=bf, **rate)


def decode(codec, packets):
    """Return the frames and the last caveat."""
    decoder = StreamDecoder(codec)
    frames = [frame for n, data in enumerate(packets) for frame in decoder.decode(data, n)]
    return frames + decoder.flush(), decoder.caveat


def with_motion(frames):
    return "".join(frame.kind.value if frame.motion else "-" for frame in frames)


@pytest.mark.parametrize(
    ("parameters", "bf", "caveats"),
    [
        (PLAIN, 0, []),
        (PLAIN + ":slices=4", 0, []),
        (PLAIN + ":fake-interlaced=1", 0, []),
        ("bframes=0:ref=4:weightp=0", 0, ["several reference frames"]),
        ("bframes=0:ref=1:weightp=1", 0, []),
        ("bframes=2:b-pyramid=0:b-adapt=0:ref=1:weightp=0", 2, []),
        ("bframes=2:b-pyramid=0:b-adapt=0:ref=1:weightp=0:open-gop=1", 2, []),
        ("bframes=2:b-pyramid=0:b-adapt=0:ref=4:weightp=0", 2, ["several reference frames"]),
        ("bframes=3:b-pyramid=normal:b-adapt=0:ref=1:weightp=0", 3, ["B pictures that others"]),
        ("bframes=3:b-pyramid=normal:b-adapt=0:ref=4", 3, ["several", "B pict", "weighted"]),
    ],
)
def test_motion_that_is_approximate_is_said_and_none_that_is_exact(
    parameters, bf, caveats, noisy_pan
):
    frames, caveat = decode("h264", x264(noisy_pan(24), parameters, bf=bf))
    assert len(frames) == 24
    assert all(frame.intact for frame in frames)
    if bf == 3:  # of each pyramid only the B picture at its top is predicted from anchors alone
        assert with_motion(frames) == 2 * "--B-P-B-PB-P"
    else:
        assert all(frame.key == (frame.motion is None) for frame in frames)
    found = caveat.split("; ") if caveat else []
    assert len(found) == len(caveats)
    assert all(one.startswith(start) for one, start in zip(found, caveats, strict=True))


def test_a_fade_with_weighted_prediction_is_said(noisy_pan):
    frames = noisy_pan(12)
    faded = [(frame * (1 - n / 16)).astype(np.uint8) for n, frame in enumerate(frames)]
    decoded, caveat = decode("h264", x264(faded, "bframes=0:ref=1:weightp=1"))
    assert caveat == "weighted prediction: the residual is approximate"
    assert with_motion(decoded) == "-PPPPPPPPPPP"


def test_caveats_are_those_of_the_headers_in_force(noisy_pan):
    decoder = StreamDecoder("h264")
    seen = []
    for parameters in (PLAIN, "bframes=0:ref=4:weightp=0", PLAIN):
        for data in x264(noisy_pan(6), parameters):
            decoder.decode(data)
        seen.append(decoder.caveat.partition(":")[0])
    assert seen == ["", "several reference frames", ""]
    assert StreamDecoder("h264").caveat == ""


def test_the_drives_say_what_is_approximate(drive):
    from twnet_ros.codec import read_packets

    info, packets = read_packets(drive("street_2048x1024_h264_bframes.mp4"))
    frames, caveat = decode(info.codec, [packet.data for packet in packets])
    assert caveat.startswith("several reference frames")
    assert "; B pictures that others refer to" in caveat
    without = "".join(frame.kind.value for frame in frames if frame.motion is None)
    assert without == "I" + 7 * "B" + "IB"  # of each two in a row the second


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("h264", {"parameters": PLAIN + ":interlaced=1"}),
        ("h264", {"parameters": PLAIN + ":bff=1"}),
        ("mpeg4", {"flags": "+ilme+ildct"}),
    ],
)
def test_interlaced_frames_come_without_motion(codec, options, noisy_pan, raw_decode):
    make = {"h264": x264, "mpeg4": mpeg4}[codec]
    packets = make(noisy_pan(14), **options)
    frames, caveat = decode(codec, packets)
    assert "".join(frame.kind.value for frame in frames) == "IPPPPPPPPPPPIP"
    assert with_motion(frames) == "-" * 14
    assert caveat.startswith("interlaced:")
    for frame, picture in zip(frames, raw_decode(codec, packets), strict=True):
        assert frame.intact
        np.testing.assert_array_equal(frame.y, picture.to_ndarray()[: frame.height])


def cropped(packets, crop):
    edit = BitStreamFilterContext(f"h264_metadata={crop}", "h264")
    return [bytes(out) for data in packets for out in edit.filter(av.Packet(data))]


@pytest.mark.parametrize(("left", "top"), [(2, 0), (0, 2), (8, 16), (34, 6)])
def test_pictures_cropped_at_the_left_or_top_come_without_motion(left, top, noisy_pan):
    packets = x264(noisy_pan(5), PLAIN)
    whole, _ = decode("h264", packets)
    frames, caveat = decode("h264", cropped(packets, f"crop_left={left}:crop_top={top}"))
    assert with_motion(frames) == "-----"
    assert caveat.startswith("cropped")
    for frame, full in zip(frames, whole, strict=True):
        assert frame.intact
        np.testing.assert_array_equal(frame.y, full.y[top:, left:])
        np.testing.assert_array_equal(frame.v, full.v[top // 2 :, left // 2 :])


@pytest.mark.parametrize(("right", "bottom"), [(2, 0), (0, 2), (8, 16), (34, 6)])
def test_cropping_at_the_right_and_bottom_changes_nothing_else(right, bottom, noisy_pan):
    packets = x264(noisy_pan(5), PLAIN)
    whole, _ = decode("h264", packets)
    frames, caveat = decode("h264", cropped(packets, f"crop_right={right}:crop_bottom={bottom}"))
    assert caveat == ""
    for frame, full in zip(frames, whole, strict=True):
        assert (frame.width, frame.height) == (176 - right, 144 - bottom)
        np.testing.assert_array_equal(frame.y, full.y[: frame.height, : frame.width])
        assert (frame.motion is None) == frame.key
        if frame.motion is not None:
            rows, columns = frame.motion.reference.shape
            expected = full.motion.displacement[:rows, :columns]
            np.testing.assert_array_equal(frame.motion.displacement, expected)


def cut(frames, number):
    """Change the scene at a frame."""
    return np.concatenate([frames[:number], 255 - frames[number:, ::-1]])


def with_an_i_picture(frames, parameters, number):
    """Encode with an I picture at a cut, which is not IDR because that would be too early."""
    packets = x264(cut(frames, number), parameters + ":scenecut=100:min-keyint=99", gop=250)
    assert packets[number].startswith(b"\x00" + START_CODE + b"\x41")
    return packets


def slices_of(data):
    starts = [offset for offset, unit in units(data) if unit & 0x1F in (1, 5)]
    return [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]


@pytest.mark.parametrize("intra", [0, 2, 3])
def test_a_picture_with_an_i_slice_among_p_slices_is_no_key_picture(intra, noisy_pan):
    frames = noisy_pan(6)
    packets = x264(cut(frames, 2), PLAIN + ":slices=4:scenecut=0", gop=250)
    other = with_an_i_picture(frames, PLAIN + ":slices=4", 2)
    mixed = slices_of(packets[2])
    mixed[intra] = slices_of(other[2])[intra]
    mixed = [packets[0], packets[1], b"".join(mixed), *packets[3:]]

    frames, caveat = decode("h264", mixed)
    assert [frame.kind for frame in frames] == [FrameKind.I] + [FrameKind.P] * 5
    assert with_motion(frames) == "-PPPPP"
    assert caveat == ""
    top = -(-9 * intra // 4)
    assert not frames[2].motion.coded[2 * top : 2 * top + 2].any()
    assert frames[3].motion.coded.any()

    # After a fault it does not make the chain whole either, as an I picture of one reference does.
    decoder = StreamDecoder("h264")
    decoder.decode(packets[0])
    decoder.lose("a test")
    assert not any(frame.intact for data in mixed[2:] for frame in decoder.decode(data))
    decoder.lose("a test")
    assert [frame.intact for frame in decoder.decode(other[2])] == [True]


def test_an_i_picture_ends_a_fault_only_where_nothing_before_it_is_kept(noisy_pan):
    # FFmpeg itself holds an I picture back that nothing announces.
    for references, expected in ((1, [6, 7, 8]), (3, [])):
        packets = with_an_i_picture(noisy_pan(9), f"bframes=0:ref={references}:weightp=0", 5)
        decoder = StreamDecoder("h264")
        decoder.decode(packets[0])
        decoder.decode(packets[1])
        decoder.lose("a test")
        intact = []
        for number, data in enumerate(packets[3:], 3):
            try:
                intact += [f.pts for f in decoder.decode(data, number) if f.intact]
            except CodecError:
                continue
        assert intact == expected
        assert bool(decoder.fault) == (not expected)
        decoder.decode(packets[0])
        assert decoder.fault == ""


REFRESH = {
    "one reference": ("intra-refresh=1:keyint=20:bframes=0:ref=1:weightp=0", 0),
    "several references": ("intra-refresh=1:keyint=20:bframes=0:ref=4", 0),
    "slices": ("intra-refresh=1:keyint=20:bframes=0:ref=1:slices=3", 0),
}


def recover(packets, first, skip=(), keep_broken=False):
    """Decode from ``first`` on, after the headers; return the frames by number."""
    decoder = StreamDecoder("h264", keep_broken)
    decoder.decode(headers_of("h264", packets[0]))
    frames = []
    for number in range(first, len(packets)):
        if number in skip:
            continue
        try:
            frames += decoder.decode(packets[number], number)
        except CodecError:
            assert decoder.fault
    return {frame.pts: frame for frame in frames + decoder.flush()}


def announced(packets):
    """Return the number of each recovery point and how many frames later it is complete."""
    points = {}
    for number, data in enumerate(packets):
        found = re.search(START_CODE + b"\x06(.*?)" + START_CODE, data, re.DOTALL)
        if found and h264.read_recovery(found.group(1)) is not None:
            points[number] = h264.read_recovery(found.group(1))
    return points


@pytest.mark.parametrize("case", REFRESH)
def test_intra_refresh_is_whole_when_its_recovery_is_complete(case, noisy_pan):
    parameters, bf = REFRESH[case]
    packets = x264(noisy_pan(72), parameters, bf=bf, gop=20)
    points = announced(packets)
    assert list(points) == [20, 40, 60]
    whole = recover(packets, 0)
    assert [frame.kind for frame in whole.values()].count(FrameKind.I) == 1
    assert all(frame.intact for frame in whole.values())
    for start in (1, 5, 12, 16, 19, 20, 21, 30, 40, 41, 59):
        point = min(number for number in points if number >= start)
        expected = range(point + points[point], len(packets))
        for frames in (recover(packets, start), recover(packets, 0, (start - 1,))):
            intact = [pts for pts, frame in frames.items() if frame.intact and pts >= start]
            assert intact == list(expected)
            for pts in intact:
                assert frames[pts].kind is FrameKind.P
                np.testing.assert_array_equal(frames[pts].y, whole[pts].y)


def test_a_recovery_may_be_of_another_size_than_what_was_before_the_loss(noisy_pan):
    packets = x264(noisy_pan(72)[:, :, :160], REFRESH["one reference"][0], gop=20)
    expected = [pts for pts, frame in recover(packets, 1).items() if frame.intact]
    decoder = StreamDecoder("h264")
    decoder.decode(x264(noisy_pan(1), PLAIN)[0])
    decoder.lose("another camera", headers_of("h264", packets[0]))
    frames = [one for n in range(1, 72) for one in decoder.decode(packets[n], n)]
    assert expected == [frame.pts for frame in frames if frame.intact]
    assert len(expected) > 30


@pytest.mark.parametrize("damaged", [False, True])
def test_a_recovery_follows_nothing_and_is_whole_when_it_is_complete(damaged, noisy_pan):
    packets = x264(noisy_pan(72), REFRESH["one reference"][0], gop=20)
    ((_, count), *_) = announced(packets).items()
    if damaged:
        packets[5] = packets[5][: len(packets[5]) // 2]
    frames = recover(packets, 0, () if damaged else (5,))
    assert list(frames) == [*range(5), *range(20, 72)]
    broken = [pts for pts, frame in frames.items() if not frame.intact]
    assert broken == list(range(20, 20 + count))
    assert [pts for pts, frame in frames.items() if not frame.follows] == [0, 20]


@pytest.mark.parametrize("keep_broken", [False, True])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_slice_that_is_lost_during_a_recovery_is_noticed(b_frames, keep_broken, noisy_pan):
    """FFmpeg puts out nothing of one by itself, and so would not tell."""
    parameters = f"intra-refresh=1:keyint=12:bframes={b_frames}:b-adapt=0:ref=1:slices=3"
    packets = x264(noisy_pan(90), parameters, bf=b_frames, gop=12)
    whole, recovered = recover(packets, 0), 0
    first = min(
        pts for pts, frame in recover(packets, 0, (5,)).items() if pts > 5 and frame.intact
    )
    for damaged in range(6, first + 1):
        slices = [at for at, byte in units(packets[damaged]) if byte & 0x1F in (1, 5)]
        lacking = list(packets)
        lacking[damaged] = packets[damaged][: slices[1]] + packets[damaged][slices[2] :]
        frames = recover(lacking, 0, (5,), keep_broken)
        intact = [pts for pts, frame in frames.items() if frame.intact]
        assert all(frames[pts].y.tobytes() == whole[pts].y.tobytes() for pts in intact)
        recovered += max(intact) > first
    assert recovered > (first - 6) / 2


def test_a_frame_whose_i_picture_was_held_back_says_that_it_does_not_follow(noisy_pan):
    packets = with_an_i_picture(noisy_pan(9), PLAIN, 5)
    frames = recover(packets, 0, (2,))
    assert [(pts, frame.kind.value, frame.follows) for pts, frame in frames.items()] == [
        *[(0, "I", False), (1, "P", True)],
        *[(6, "P", False), (7, "P", True), (8, "P", True)],
    ]


@pytest.mark.parametrize("pyramid", ["none", "normal"])
def test_intra_refresh_with_b_frames_is_right_or_not_intact(pyramid, noisy_pan):
    parameters = f"intra-refresh=1:keyint=12:bframes=3:b-adapt=0:b-pyramid={pyramid}:ref=1"
    packets = x264(noisy_pan(90), parameters, bf=3, gop=12)
    whole = recover(packets, 0)
    assert all(frame.intact for frame in whole.values())
    recovered = 0
    for start in range(1, 30, 3):
        frames = recover(packets, start)
        intact = [pts for pts, frame in frames.items() if frame.intact]
        assert all(frames[pts].y.tobytes() == whole[pts].y.tobytes() for pts in intact)
        recovered += bool(intact)
    assert recovered == 10


@pytest.mark.parametrize("keep_broken", [False, True])
@pytest.mark.parametrize("cut", [False, True])
def test_intra_refresh_with_b_frames_heals_after_any_one_fault(noisy_pan, keep_broken, cut):
    """Of a pyramid, too, in which pictures refer to a B picture that is missing."""
    packets = x264(noisy_pan(72), "intra-refresh=1:keyint=12:bframes=2:b-adapt=0:ref=1", bf=2)
    whole = recover(packets, 0)
    for lost in range(1, 30):
        damaged = packets[lost][: len(packets[lost]) // 2 if cut else 0]
        decoder, found = StreamDecoder("h264", keep_broken), []
        for number, data in enumerate(packets):
            with suppress(CodecError):
                if number != lost or cut:
                    found += decoder.decode(damaged if number == lost else data, number)
        intact = [frame for frame in found if frame.intact]
        assert all(frame.y.tobytes() == whole[frame.pts].y.tobytes() for frame in intact)
        assert max(frame.pts for frame in intact) > 65


@pytest.mark.parametrize("parameters", ["intra-refresh=1:keyint=12:ref=1", PLAIN + ":keyint=12"])
def test_a_packet_cut_within_its_headers_is_a_loss(noisy_pan, parameters):
    """What is left of them is neither taken for the stream's own nor for the next picture's."""
    packets = x264(noisy_pan(30), f"{parameters}:bframes=0:scenecut=0", gop=12)
    whole = recover(packets, 0)
    first = next(at for at, unit in units(packets[12]) if unit & 0x1F in (1, 5))
    assert headers_of("h264", packets[12])
    for length in range(4, first + 4):
        decoder, found = StreamDecoder("h264"), []
        for number, data in enumerate(packets[:24]):
            with suppress(CodecError):
                found += decoder.decode(data[:length] if number == 12 else data, number)
        intact = [frame for frame in found if frame.intact]
        assert all(frame.y.tobytes() == whole[frame.pts].y.tobytes() for frame in intact)
        assert [frame.pts for frame in intact] == list(range(12))


def test_faults_in_a_row_leave_no_decoder_that_takes_nothing_more(noisy_pan):
    packets = x264(noisy_pan(84), "intra-refresh=1:keyint=12:bframes=2:b-adapt=0:ref=1", bf=2)
    decoder, found = StreamDecoder("h264"), []
    for number, data in enumerate(packets):
        with suppress(CodecError):
            if number != 22:
                cut = number in (4, 20)
                found += decoder.decode(data[: len(data) // 2] if cut else data, number)
    assert max(frame.pts for frame in found if frame.intact) > 75


@pytest.mark.parametrize("keep_broken", [False, True])
@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("parameters", ["bframes=3:ref=3", "bframes=2:b-pyramid=none"])
def test_a_cut_picture_of_a_closed_gop_costs_nothing_of_the_next(
    noisy_pan, parameters, repeated, keep_broken
):
    """Although it shows only when it comes out, when the next key picture is there already."""
    packets = x264(noisy_pan(40), f"{parameters}:b-adapt=0:scenecut=0:keyint=12", bf=3, gop=12)
    headers = headers_of("h264", packets[0])
    if not repeated:
        packets = [packets[0], *(data.replace(headers, b"") for data in packets[1:])]
    whole = recover(packets, 0)
    for broken in range(12, 24):
        decoder, found = StreamDecoder("h264", keep_broken), {}
        for number, data in enumerate(packets):
            with suppress(CodecError):
                cut = data[: len(data) // 2] if number == broken else data
                found |= {frame.pts: frame for frame in decoder.decode(cut, number)}
        for pts in range(24, 36):
            assert found[pts].intact and found[pts].y.tobytes() == whole[pts].y.tobytes()


@pytest.mark.parametrize("pyramid", ["none", "normal"])
def test_a_loss_before_the_first_frame_came_out_heals_where_broken_ones_are_kept(
    pyramid, noisy_pan
):
    parameters = f"keyint=12:bframes=2:b-adapt=0:b-pyramid={pyramid}"
    packets = x264(noisy_pan(30), parameters, bf=2, gop=12)
    decoder, found = StreamDecoder("h264", keep_broken=True), []
    for number, data in enumerate(packets):
        if number != 1:
            with suppress(CodecError):
                found += decoder.decode(data, number)
    found += decoder.flush()
    assert {0, *range(12, 30)} <= {frame.pts for frame in found if frame.intact}


def test_a_second_fault_during_a_recovery_waits_for_the_next_one(noisy_pan):
    packets = x264(noisy_pan(72), REFRESH["one reference"][0], gop=20)
    ((_, count), *_) = announced(packets).items()
    for lost in (21, 20 + count - 1, 20 + count):
        frames = recover(packets, 5, (lost,))
        assert next(pts for pts, frame in frames.items() if frame.intact) == 40 + count


def test_a_loss_shows_although_frame_numbers_may_have_gaps(noisy_pan):
    packets = [with_gaps(data) for data in x264(noisy_pan(24), PLAIN)]
    frames, caveat = decode("h264", packets)
    assert all(frame.intact for frame in frames)
    assert caveat == ""
    some = recover(packets, 0, (5, 6))
    assert [pts for pts, frame in some.items() if frame.intact] == [*range(5), *range(12, 24)]


def test_a_layer_that_was_left_out_on_purpose_breaks_nothing(noisy_pan):
    # The reference B pictures of a pyramid count in frame_num; anchors do without them.
    parameters = "bframes=3:b-pyramid=normal:b-adapt=0:ref=1:weightp=0"
    packets = [with_gaps(data) for data in x264(noisy_pan(33), parameters, bf=3, gop=99)]
    whole = recover(packets, 0)
    anchors = [pts for pts, frame in whole.items() if frame.kind is not FrameKind.B]
    kinds, decoder = sequence_of("h264"), StreamDecoder("h264")
    thin = []
    for data in packets:
        kinds.follow(data)
        if kinds.traits.kind is not FrameKind.B:
            thin += decoder.decode(data)
            assert decoder.notice == ""
    thin += decoder.flush()
    assert len(thin) == len(anchors) > 5
    for frame, number in zip(thin, anchors, strict=True):
        assert frame.intact
        np.testing.assert_array_equal(frame.y, whole[number].y)


def test_parameter_sets_stay_that_a_key_picture_does_not_repeat(noisy_pan):
    one = x264(noisy_pan(6), PLAIN, gop=3)
    other = x264(noisy_pan(6)[::-1], PLAIN + ":sps-id=1", gop=3)
    bare = other[3][other[3].index(START_CODE + b"\x65") :]
    packets = [*one[:2], *other[:2], *one[3:5], bare, other[4]]
    whole = [decode("h264", stream)[0] for stream in (one, other)]
    frames, _ = decode("h264", packets)
    expected = [*whole[0][:2], *whole[1][:2], *whole[0][3:5], *whole[1][3:5]]
    for frame, sound in zip(frames, expected, strict=True):
        assert frame.intact
        np.testing.assert_array_equal(frame.y, sound.y)


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_pictures_that_are_too_large_are_refused(codec, noisy_pan):
    decoder = StreamDecoder(codec)
    (packet,) = ClipEncoder(codec, 176, 144).encode(noisy_pan(1)[0])
    assert decoder.decode(packet.data)[0].intact
    if codec == "mpeg4":  # 13 bits each way cannot be too many
        return
    for parameters, columns, expected in (
        (PLAIN, 1024, r"expected at most 67108864 px \(8192x8192\), got 16384x8192 px"),
        ("bframes=0:ref=8", 512, "expected at most 4 reference frames of 8192x8192 px, got 8"),
    ):
        for data in x264(noisy_pan(3), parameters):
            with pytest.raises(CodecError, match=expected):
                decoder.decode(huge(data, columns, 512))
            assert decoder.fault
        assert decoder.decode(packet.data)[0].intact


def huge(data, columns, rows):
    """Write another width and height, in macroblocks, into the SPS of x264's own."""
    small = "".join(golomb(value) for value in (10, 8))  # macroblocks less one
    return with_sps(data, small, golomb(columns - 1) + golomb(rows - 1))


def with_gaps(data):
    """Set gaps_in_frame_num_value_allowed_flag, which stands before width and height."""
    size = "".join(golomb(value) for value in (10, 8))
    return with_sps(data, "0" + size, "1" + size)


def with_sps(data, old, new):
    """Replace bits in the SPS of x264's own."""
    start = data.find(START_CODE + b"\x67")
    if start < 0:
        return data
    end = data.find(START_CODE, start + 4) - 1
    sps = h264_parameter.unescape(data[start + 4 : end])
    text = "".join(format(byte, "08b") for byte in sps)
    assert text.count(old) == 1
    text = text.replace(old, new)
    text += "0" * (-len(text) % 8)
    large = b""
    for at in range(0, len(text), 8):
        byte = int(text[at : at + 8], 2)
        large += b"\x03" * (byte <= 3 and large.endswith(b"\x00\x00")) + bytes([byte])
    return data[: start + 4] + large + data[end:]


def golomb(value):
    code = format(value + 1, "b")
    return "0" * (len(code) - 1) + code


def layer(sprite, *, interlaced=0, points=0, brightness=0, shape=0, wide=0):
    """A video object layer of 176x144 px and 17 ticks a second, version 2."""
    text = "0" + format(1, "08b") + "1" + "0010" + "001" + "0001" + "0"
    text += format(shape, "02b") + "1" + format(17, "016b") + "1" + "0"
    text += "1" + format(176, "013b") + "1" + format(144, "013b") + "1"
    text += f"{interlaced}1" + format(sprite, "02b")
    if sprite == 1:
        text += (format(176, "013b") + "1") * 2 + (format(0, "013b") + "1") * 2
    if sprite:
        text += format(points, "06b") + "00" + str(brightness)
    if sprite == 1:
        text += "0"
    text += str(wide) + "0" + "0" + "1" + "1" + "0" + "0" + "0" + "0"
    return START_CODE + b"\x20" + stuffed(text)


def stuffed(text):
    text += "0" + "1" * (-(len(text) + 1) % 8)
    return bytes(int(text[k : k + 8], 2) for k in range(0, len(text), 8))


def with_layer(data, changed):
    start = data.find(START_CODE + b"\x20")
    if start < 0:
        return data
    return data[:start] + changed + data[data.find(START_CODE, start + 4) :]


def global_vop(increment):
    """An S(GMC)-VOP without warping points whose macroblocks are all not coded: a still one."""
    head = "11" + "0" + "1" + format(increment, "05b") + "1" + "1" + "0" + "000" + "00101" + "001"
    return START_CODE + b"\xb6" + stuffed(head + "1" * 99)


def test_global_motion_comes_without_motion(noisy_pan):
    packets = [with_layer(data, layer(2)) for data in mpeg4(noisy_pan(4))]
    later = packets[2]
    still = [packets[0], packets[1], global_vop(2), later]
    later = bytearray(later)
    at = later.find(START_CODE + b"\xb6") + 4
    bits = int.from_bytes(later[at : at + 2], "big")
    later[at : at + 2] = (bits & ~(0x1F << 7) | 3 << 7).to_bytes(2, "big")  # one tick later
    still[3] = bytes(later)
    frames, caveat = decode("mpeg4", still)
    assert [frame.kind for frame in frames] == [FrameKind.I, FrameKind.P, FrameKind.P, FrameKind.P]
    assert with_motion(frames) == "-P-P"
    assert caveat.startswith("global motion")
    assert all(frame.intact for frame in frames)
    np.testing.assert_array_equal(frames[2].y, frames[1].y)
    whole, _ = decode("mpeg4", packets[:3])
    np.testing.assert_array_equal(frames[3].y, whole[2].y)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (layer(1), "expected moving pictures, got a static sprite"),
        (layer(2, brightness=1), "got one with changes of brightness"),
        (layer(0, shape=1), "expected a video object of rectangular shape, got binary"),
        (layer(0, wide=1), r"expected 8 bits a sample \(not_8_bit 0\)"),
    ],
)
def test_what_ffmpeg_would_decode_wrongly_of_mpeg4_is_refused(changed, expected, noisy_pan):
    packets = mpeg4(noisy_pan(3))
    decoder = StreamDecoder("mpeg4")
    for data in packets:
        with pytest.raises(CodecError, match=expected):
            decoder.decode(with_layer(data, changed))
        assert decoder.fault
    assert decoder.decode(packets[0])[0].intact


@pytest.mark.parametrize("options", [{}, {"flags": "+mv4"}])
def test_b_pictures_of_mpeg4_come_without_motion(options, pan):
    # FFmpeg exports vectors of them, but zeros or what was left of another picture.
    packets = mpeg4(pan(14, dx=2), bf=2, gop=24, **options)
    frames, caveat = decode("mpeg4", packets)
    assert "".join(frame.kind.value for frame in frames) == "IBBPBBPBBPBBPP"
    # The last one is held back to the end of the stream, and FFmpeg then exports none.
    assert with_motion(frames) == "---P--P--P--P-"
    assert caveat == "B pictures: they come without motion vectors"
    assert all(frame.intact for frame in frames)
    for frame in frames[3:13:3]:
        inner = frame.motion.displacement[2:-2, 2:-2].reshape(-1, 2)
        np.testing.assert_array_equal(np.median(inner, axis=0), (6, 0))


@pytest.mark.parametrize("bf", [0, 2])
def test_quarter_pel_mpeg4_has_motion_in_quarters_of_a_pixel(bf, pan_over):
    # A camera that moves by 3 px, seen at a quarter of the size: 0.75 px a frame.
    large = pan_over(5, width=4 * 176, height=4 * 144, square=24, blur=16, dx=3)
    small = [
        frame.reshape(144, 4, 176, 4, 3).mean((1, 3)).round().astype(np.uint8) for frame in large
    ]
    frames, caveat = decode("mpeg4", mpeg4(small, bf=bf, flags="+qpel"))
    assert caveat.startswith("B pictures") == bool(bf)
    (frame,) = [frame for frame in frames if frame.kind is FrameKind.P][:1]
    inner = frame.motion.displacement[2:-2, 2:-2]
    apart = frame.index - frames[0].index
    assert np.median(inner[..., 0]) == 0.75 * apart
    assert np.median(inner[..., 1]) == 0
