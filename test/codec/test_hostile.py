"""Packets made to do harm: refused at little cost, and without harm to what comes after."""

import numpy as np
import pytest

import coded
from bits import escape
from twnet_ros.codec import CodecError, Limit, StreamDecoder, codec_of_format
from twnet_ros.codec.h264_parameter import read_sps
from twnet_ros.codec.payload import annexb_payload
from twnet_ros.codec.sequence import sequence_of

CODECS = ["mpeg4", "h264"]
START = b"\x00\x00\x01"
# FFmpeg decodes what claims to be of this encoder with another inverse transform.
XVID = START + b"\xb2XviD0001"
# What a packet without a picture may be: headers cut or changed, or units of no use.
JUNK = {
    "mpeg4": [
        START + b"\xb0\x01" + START + b"\xb5\x89\x13" + START + b"\x01" + START + b"\x20\x00",
        START + b"\x20" + b"\xff" * 20,
        XVID,
    ],
    "h264": [START + b"\x67" + b"\xff" * 20, START + b"\x68\xff", START + b"\x06\x05\xff\x10"],
}


def decoded(packets):
    """Return (samples, intact) of each frame by the number of its packet."""
    frames, decoder = {}, None
    for number, (codec, data) in enumerate(packets):
        decoder = decoder or StreamDecoder(codec)
        try:
            for frame in decoder.decode(data, number):
                frames[frame.pts] = (
                    b"".join(map(np.ndarray.tobytes, planes(frame))),
                    frame.intact,
                )
        except CodecError as error:
            decoder.lose(str(error))
    return frames


def planes(frame):
    return frame.y, frame.u, frame.v


def stream(codec, encode, pan, **settings):
    return [(codec, packet.data) for packet in encode(codec, pan(8), gop=4, **settings)]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("number", range(3))
def test_headers_alone_do_no_harm_to_a_key_frame_with_its_own(codec, number, pan, encode):
    sound = stream(codec, encode, pan)
    whole = decoded(sound)
    # At the beginning, and where another stream stood.
    for before in ([], stream(codec, encode, pan, fps=5.0)[:2]):
        junk = [*before, (codec, JUNK[codec][number])]
        frames = decoded(junk + sound)
        assert {n - len(junk): one for n, one in frames.items() if n >= len(junk)} == whole


@pytest.mark.parametrize("alone", [True, False])
def test_what_user_data_changes_ends_with_the_next_key_frame(alone, pan, encode):
    sound = stream("mpeg4", encode, pan)
    whole = decoded(sound)
    assert [intact for _, intact in whole.values()] == [True] * 8
    user_data = [("mpeg4", XVID), sound[2]] if alone else [("mpeg4", XVID + sound[2][1])]
    frames = decoded(sound[:2] + user_data + sound[3:])
    assert [frames[n + alone] for n in range(4, 8)] == [whole[n] for n in range(4, 8)]


@pytest.mark.parametrize("codec", CODECS)
def test_a_key_frame_with_other_headers_brings_out_what_was_held_back(codec, pan):
    packets = []
    for seed in (1, 2):
        clip = pan(10, height=144 // seed)
        packets += coded.encode(codec, clip, gop_size=6, max_b_frames=2)
    decoder = StreamDecoder(codec)
    frames = [f for n, data in enumerate(packets) for f in decoder.decode(data, n)]
    frames += decoder.flush()
    assert [frame.height for frame in frames] == [144] * 10 + [72] * 10
    assert sorted(frame.pts for frame in frames) == list(range(20))
    assert all(frame.intact for frame in frames)


def test_side_data_of_a_kind_that_pyav_does_not_know(pan, encode):
    packets = [packet.data for packet in encode("h264", pan(8), gop=4)]
    content = bytes.fromhex("b4005000") + bytes(8)  # an LCEVC enhancement (ITU-T T.35)
    enhanced = START + b"\x06\x04" + bytes([len(content)]) + escape(content) + b"\x80"
    decoder = StreamDecoder("h264")
    decoder.decode(packets[0])
    with pytest.raises(CodecError, match="side data known to PyAV"):
        decoder.decode(enhanced + packets[1])
    (frame,) = decoder.decode(packets[4])
    assert frame.intact


def test_a_flood_of_length_prefixed_units_is_left_alone():
    units = b"\x00\x00\x00\x02\x65\x88"
    assert annexb_payload("h264", units * 4096) == b"\x00\x00\x00\x01\x65\x88" * 4096
    assert annexb_payload("h264", units * 4097) == units * 4097


@pytest.mark.parametrize(("kind", "most"), [(7, 576), (8, 576)])
def test_a_flood_of_parameter_sets_is_refused(kind, most):
    unit = START + bytes([kind, 0xFF])
    assert sequence_of("h264").follow(unit * most) is None
    with pytest.raises(CodecError, match=f"at most {most} parameter sets in a packet"):
        sequence_of("h264").follow(unit * (most + 1))


def test_a_packet_that_is_far_too_large_is_refused():
    with pytest.raises(CodecError, match="expected at most 16777216 bytes a packet, got 16777217"):
        StreamDecoder("h264").decode(START + bytes((1 << 24) - 2))


@pytest.mark.parametrize("offsets", [255, 256])
def test_a_parameter_set_has_no_more_entries_than_it_may(offsets):
    count = format(offsets + 1, "b")
    bits = "01000010" + "0" * 16 + "1" + "1" + "010" + "111"  # order counts of type 1
    bits += "0" * (len(count) - 1) + count + "1" * offsets
    bits += "1" + "0" + "1" + "1" + "1" + "1" + "0" + "0" + "1"
    bits += "0" * (-len(bits) % 8)
    unit = int(bits, 2).to_bytes(len(bits) // 8, "big")
    if offsets <= 255:
        assert read_sps(unit).macroblocks == 1
    else:
        with pytest.raises(CodecError, match="at most 255 entries in a parameter set, got 256"):
            read_sps(unit)


@pytest.mark.parametrize(("size", "most"), [((176, 144), None), ((4096, 4096), 96)])
def test_no_more_slices_than_can_be_decoded_in_time(size, most):
    width, height = size
    pictures = 2 * [np.full((height * 3 // 2, width), 128, np.uint8)]
    packets = coded.encode("h264", pictures, {"preset": "ultrafast", "tune": "zerolatency"})
    slices = packets[1][packets[1].rindex(START) :]
    sequence = sequence_of("h264")
    sequence.follow(packets[0])
    sequence.follow(slices * (most or 4000))
    if most is not None:
        with pytest.raises(CodecError, match=f"at most {most} slices of a picture of 65536"):
            sequence.follow(slices * (most + 1))
        with pytest.raises(CodecError, match="expected the parameter sets of a picture, got none"):
            sequence_of("h264").follow(slices)


def test_a_long_format_is_cut():
    assert codec_of_format("h264;" + "x" * 10**6) == "h264"
    with pytest.raises(CodecError) as error:
        codec_of_format("x " * 10**6)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_larger_pictures_than_allowed_are_refused(codec, pan, encode):
    packets = [packet.data for packet in encode(codec, pan(4), gop=2)]
    size = 176 * 144
    strict = StreamDecoder(codec, limit=Limit(pixels=size - 1))
    for data in packets:
        with pytest.raises(CodecError, match=f"at most {size - 1} px, got {size} px"):
            strict.decode(data)
    decoder = StreamDecoder(codec, limit=Limit(pixels=size))
    assert all(frame.intact for data in packets for frame in decoder.decode(data))


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_longer_packets_than_allowed_are_refused(codec, pan, encode):
    packets = [packet.data for packet in encode(codec, pan(4), gop=4)]
    longest = len(packets[0])
    assert longest > len(packets[1])
    decoder = StreamDecoder(codec, limit=Limit(packet_bytes=longest))
    assert len(decoder.decode(packets[0])) == 1
    strict = StreamDecoder(codec, limit=Limit(packet_bytes=longest - 1))
    with pytest.raises(CodecError, match=f"at most {longest - 1} bytes a packet, got {longest}"):
        strict.decode(packets[0])
    assert not any(frame.intact for data in packets[1:] for frame in strict.decode(data))
