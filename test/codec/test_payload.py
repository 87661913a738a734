"""Length-prefixed packets become Annex B; byte streams become access units again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coded import encode
from twnet_ros.codec import StreamDecoder, payload
from twnet_ros.codec.payload import Assembler, annexb_payload

START = b"\x00\x00\x00\x01"


def prefixed(units):
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def annexb(units, start=START):
    return b"".join(start + unit for unit in units)


def split(data):
    """The units of an Annex B stream."""
    units = data.replace(START, START[1:]).split(START[1:])
    assert not units[0]
    return units[1:]


@st.composite
def unit_lists(draw):
    """A picture's units as 7.4.1 has them: a header, no start code inside, no zero at the end."""
    units = []
    last = draw(st.integers(0, 4))
    for number in range(last + 1):
        kind = draw(st.sampled_from([1, 5] if number == last else [1, 5, 6, 7, 8, 9]))
        header = draw(st.integers(0, 3)) << 5 | kind
        size = draw(st.one_of(st.integers(0, 40), st.integers(240, 530)))
        body = bytearray(draw(st.binary(min_size=size, max_size=size)))
        if kind in (1, 5):
            body[:1] = b"\x80"  # first_mb_in_slice is 0
        for i in range(len(body) - 2):
            if body[i] == body[i + 1] == 0 and body[i + 2] <= 3:
                body[i + 2] = 4
        units.append(bytes([header, *body, 0x80]))
    return units


@given(unit_lists())
def test_length_prefixed_units_come_back_as_annex_b(units):
    assert annexb_payload("h264", prefixed(units)) == annexb(units)


@given(unit_lists(), st.sampled_from([START, START[1:]]), st.integers(0, 3))
def test_annex_b_stays_as_it_is(units, start, zeros):
    data = annexb(units, start) + bytes(zeros)
    assert annexb_payload("h264", data) == data
    assert annexb_payload("h264", annexb_payload("h264", prefixed(units))) == annexb(units)


@given(st.binary())
def test_any_bytes_stay_unless_they_are_sizes_and_units_to_the_last_byte(data):
    converted = annexb_payload("h264", data)
    assert converted == data or prefixed(split(converted)) == data


@given(unit_lists(), st.data())
def test_a_truncated_packet_stays(units, data):
    whole = prefixed(units)
    ends = {0}  # where fewer units would be whole
    for unit in units:
        ends.add(max(ends) + 4 + len(unit))
    size = data.draw(st.sampled_from(sorted(set(range(len(whole))) - ends)))
    assert annexb_payload("h264", whole[:size]) == whole[:size]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x00\x00",
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x02\x89\x10",  # a forbidden bit
        b"\x00\x00\x00\x02\x18\x10",  # type 24 is RTP's
        b"\x00\x00\x00\x02\x09\xf0\x00\x00\x00\x00",
        b"\xff\xd8\xff\xe0\x00\x10JFIF",
    ],
)
def test_what_is_neither_stays(data):
    assert annexb_payload("h264", data) == data


def test_a_slice_as_long_as_its_start_code_says_stays():
    """00 00 01 41 is a P slice behind a start code, and the size of a unit of 0x141 bytes."""
    data = START[1:] + b"\x41\x88" + bytes(range(1, 64)) * 5
    data += bytes([1]) * (4 + 0x141 - len(data))
    assert annexb_payload("h264", data) == data
    unit = b"\x41" + data[4:]
    assert annexb_payload("h264", len(unit).to_bytes(4, "big") + unit) == START + unit


def test_units_with_start_codes_between_them_stay():
    """00 00 01 06 is an SEI behind a start code, and the size of a unit of 0x106 bytes."""
    data = START[1:] + b"\x06\x01\x04" + START[1:] + b"\x41\x9a"
    data += bytes([1]) * (4 + 0x106 - len(data))
    assert annexb_payload("h264", data) == data


def test_a_length_prefixed_stream_decodes_to_the_same_pictures(pan, encode):
    packets = [packet.data for packet in encode("h264", pan(12), gop=6)]
    decoder, expected = StreamDecoder("h264"), StreamDecoder("h264")
    sizes = set()
    for data in packets:
        sizes |= {len(unit) >> 8 for unit in split(data)}
        (frame,) = decoder.decode(annexb_payload("h264", prefixed(split(data))))
        (reference,) = expected.decode(data)
        assert (frame.y == reference.y).all() and frame.intact
    assert sizes > {0, 1}  # units whose size begins as a start code does are among them


@pytest.mark.parametrize("codec", ["h264", "mpeg4", "hevc"])
@given(cuts=st.data())
def test_a_stream_cut_anywhere_gives_its_access_units_under_the_chunk_they_begin_in(
    codec, cuts, streams
):
    packets = streams[codec]
    stream = b"".join(packets)
    places = sorted(cuts.draw(st.sets(st.integers(1, len(stream) - 1), max_size=40)))
    bounds = [0, *places, len(stream)]
    assembler = Assembler(codec)
    units = []
    for tag, (start, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
        units += assembler.push(stream[start:end], tag)
    assert [unit for unit, _ in units] == packets[: len(units)]
    assert len(units) >= len(packets) - 1
    units += assembler.flush()
    assert [unit for unit, _ in units] == packets
    begin = 0
    for packet, (_, tag) in zip(packets, units, strict=True):
        first = begin + packet.index(START[1:])
        assert bounds[tag] <= first < bounds[tag + 1]
        begin += len(packet)


@pytest.fixture(scope="module")
def streams(request):
    """Access units of a small clip in the codecs with start codes."""
    pan_over = request.getfixturevalue("pan_over")
    frames = pan_over(8, width=96, height=64, square=4, blur=4)
    clips = {}
    for codec, encoder in (("h264", "libx264"), ("mpeg4", "mpeg4"), ("hevc", "libx265")):
        options = {"x265-params": "bframes=0:log-level=none"} if codec == "hevc" else {}
        clips[codec] = encode(encoder, frames, options, gop_size=4, max_b_frames=0)
    return clips


def test_each_chunk_may_be_a_byte_and_a_chunk_may_be_empty(streams):
    assembler = Assembler("h264")
    units = []
    for i, byte in enumerate(b"".join(streams["h264"])):
        units += assembler.push(bytes([byte]), i) + assembler.push(b"", -1)
    assert [unit for unit, _ in units + assembler.flush()] == streams["h264"]


def test_a_flush_begins_anew(streams):
    assembler = Assembler("mpeg4")
    for _ in range(2):
        units = assembler.push(b"".join(streams["mpeg4"]), "tag") + assembler.flush()
        assert units == [(packet, "tag") for packet in streams["mpeg4"]]


def test_bytes_without_an_end_are_given_out_and_not_kept(monkeypatch, streams):
    monkeypatch.setattr(payload, "MOST_BYTES", 10_000)
    assembler = Assembler("h264")
    junk = b"\xff\xd8\xff\xe0" * 1000
    given_out = [unit for tag in range(6) for unit in assembler.push(junk, tag)]
    assert given_out == [(junk * 3, 0), (junk * 3, 3)]
    packets = streams["h264"]
    units = assembler.push(b"".join(packets), "after") + assembler.flush()
    assert units == [(packet, "after") for packet in packets]
