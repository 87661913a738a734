"""H.264 headers made by hand: how they are read, and what follows from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twnet_ros.codec import CodecError, h264
from twnet_ros.codec.bit import BitReader
from twnet_ros.codec.sequence import sequence_of

START = b"\x00\x00\x01"


class Bits:
    """Writes what BitReader reads."""

    def __init__(self):
        self.text = ""

    def u(self, count, value):
        self.text += format(value, f"0{count}b")
        return self

    def ue(self, *values):
        for value in values:
            code = format(value + 1, "b")
            self.text += "0" * (len(code) - 1) + code
        return self

    def se(self, *values):
        return self.ue(*(2 * value - 1 if value > 0 else -2 * value for value in values))

    def end(self):
        """Close with the stop bit."""
        text = self.text + "1"
        return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def escape(data):
    out = b""
    for byte in data:
        if byte <= 3 and out.endswith(b"\x00\x00"):
            out += b"\x03"
        out += bytes([byte])
    return out


def sps(*, profile=77, frame_num_bits=4, order_type=0, gaps=0, frames_only=1, reordered=None):
    bits = Bits().u(8, profile).u(16, 30).ue(0)
    if profile == 100:
        bits.ue(1, 0, 0).u(1, 0).u(1, 1)  # 4:2:0, 8 bit; scaling lists:
        bits.u(1, 1).se(*[1] * 16)  # a whole 4x4 one
        bits.u(1, 1).se(-8)  # one that ends at once
        bits.u(6, 0)
    bits.ue(frame_num_bits - 4, order_type)
    if order_type == 0:
        bits.ue(2)
    elif order_type == 1:
        bits.u(1, 0).se(-1, 2).ue(2).se(3, -3)
    bits.ue(4).u(1, gaps).ue(5, 3).u(1, frames_only)
    if not frames_only:
        bits.u(1, 0)
    bits.u(1, 1).u(1, 1).ue(0, 1, 0, 2)  # cropped
    bits.u(1, reordered is not None)
    if reordered is not None:
        bits.u(1, 1).u(8, 255).u(32, 1).u(1, 1).u(1, 0).u(1, 1).u(4, 5).u(1, 1).u(24, 0x010101)
        bits.u(1, 1).ue(1, 1).u(1, 1).u(32, 1).u(32, 34).u(1, 1)
        bits.u(1, 1).ue(1).u(8, 0).ue(9, 9).u(1, 0).ue(8, 8).u(1, 1).u(20, 0)  # a NAL HRD
        bits.u(1, 0).u(1, 0).u(1, 1)  # no VCL HRD, low delay, pic_struct
        bits.u(1, 1).u(1, 1).ue(0, 0, 11, 11, reordered, 4)
    return bits.end()


def nal(kind, payload, reference=3):
    return b"\x00" + START + bytes([reference << 5 | kind]) + escape(payload)


def headers(**settings):
    return nal(7, sps(**settings)) + nal(8, Bits().ue(0, 0).u(8, 0).end())


def picture(frame_num, order=0, *, idr=False, reference=3, kind=0, field=None, idr_id=0, fill=0):
    """One slice; frame_num of 4 bits, order of 6, `field` 0 top, 1 bottom."""
    bits = Bits().ue(0, kind, 0).u(4, frame_num)
    if field is not None:
        bits.u(1, 1).u(1, field)
    if idr:
        bits.ue(idr_id)
    bits.u(6, order % 64).u(32, 0xFFFFFFFF).u(8, fill)
    return nal(5 if idr else 1, bits.end(), reference)


def test_exp_golomb_codes():
    values = [0, 1, 2, 3, 7, 8, 254, 255, 65535, 2**31]
    bits = BitReader(Bits().ue(*values).se(0, 1, -1, 2, -2, -(2**15)).u(3, 5).end())
    assert [bits.unsigned() for _ in values] == values
    assert [bits.signed() for _ in range(6)] == [0, 1, -1, 2, -2, -(2**15)]
    assert bits.read(3) == 5


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data):
    sequence = h264.read_sps(sps())
    for read in (
        h264.read_sps,
        h264.read_pps,
        lambda unit: h264.read_slice(b"\x65" + unit, sequence),
    ):
        try:
            read(data)
        except CodecError as error:
            assert "expected" in str(error)


@given(st.binary(max_size=40))
def test_emulation_prevention_is_undone(data):
    assert h264.unescape(escape(data)) == data


def test_sequence_parameters():
    plain = h264.read_sps(escape(sps()))
    assert (plain.frame_num_bits, plain.order_type, plain.order_bits) == (4, 0, 6)
    assert (plain.gaps_allowed, plain.frames_only, plain.reordered) == (False, True, 16)
    rich = h264.read_sps(
        escape(sps(profile=100, frame_num_bits=9, gaps=1, frames_only=0, reordered=2))
    )
    assert (rich.frame_num_bits, rich.order_bits, rich.reordered) == (9, 6, 2)
    assert (rich.gaps_allowed, rich.frames_only) == (True, False)
    cyclic = h264.read_sps(escape(sps(order_type=1, reordered=1)))
    assert (cyclic.order_type, cyclic.order_bits, cyclic.reordered) == (1, 0, 1)
    assert h264.read_sps(escape(sps(order_type=2))).reordered == 0
    assert h264.read_sps(escape(sps(profile=66))).reordered == 0


def test_slice_headers():
    sequence = h264.read_sps(sps(frames_only=0))
    unit = picture(5, 9, idr=True, kind=7, field=1, idr_id=3)[4:]
    read = h264.read_slice(unit, sequence)
    assert (read.idr, read.idr_id, read.frame_num, read.order) == (True, 3, 5, 9)
    assert (read.is_field, read.bottom, read.intra, read.reference) == (True, True, True, True)
    assert not h264.read_slice(picture(5, reference=0, field=0)[4:], sequence).reference


def follow(packets):
    """Return the text that each packet gives, '' for none."""
    sequence = sequence_of("h264")
    return [(gap.reason if gap else "") for gap in map(sequence.follow, packets)]


def reference_frames(numbers, **settings):
    first = headers(**settings) + picture(0, 0, idr=True)
    return [first, *(picture(n % 16, 2 * n) for n in numbers)]


@pytest.mark.parametrize("lost", range(1, 40))
def test_frame_num_counts_modulo_its_range(lost):
    packets = reference_frames(range(1, 42))
    assert not any(follow(packets))
    found = follow(packets[:lost] + packets[lost + 1 :])
    expected = f"lost packets: expected frame_num {lost % 16}, got {(lost + 1) % 16}"
    assert [text for text in found if text] == [expected]
    assert found[lost] == expected


def test_several_lost_packets():
    packets = reference_frames([1, 2, 6, 7])
    assert follow(packets)[3] == "lost packets: expected frame_num 3, got 6"


def test_allowed_gaps_are_none():
    assert not any(follow(reference_frames([1, 2, 6, 7, 9], gaps=1)))


def test_an_idr_picture_begins_anew():
    packets = reference_frames([1, 2, 3])
    assert not any(follow(packets + [picture(0, 0, idr=True, idr_id=1), *packets[1:]]))
    assert not any(follow(packets[:2] + packets))


def test_pictures_without_references_to_them():
    """They take the next reference picture's frame_num; losing one is said but harms nothing."""
    first = headers(reordered=1) + picture(0, 0, idr=True)
    packets = [first]
    for n in range(1, 6):
        packets += [picture(n, 4 * n), picture(n + 1, 4 * n - 2, reference=0)]
    assert not any(follow(packets))
    sequence = sequence_of("h264")
    found = [sequence.follow(data) for data in packets[:6] + packets[7:]]
    (gap,) = [gap for gap in found if gap]
    assert gap.reason == "lost packets: expected order count 10, got 16"
    assert not gap.breaks
    sequence = sequence_of("h264")
    late = packets[:6] + [packets[7], packets[6], *packets[8:]]
    found = [sequence.follow(data) for data in late]
    assert found[7].superfluous
    assert "out of order: expected frame_num 5, got 4" in found[7].reason
    assert not any(gap and gap.breaks for gap in found)


def test_fields_come_in_pairs():
    packets = [headers(frames_only=0) + picture(0, 0, idr=True, field=0)]
    packets += [picture(0, 1, field=1)]
    for n in range(1, 5):
        packets += [picture(n, 2 * n, field=0), picture(n, 2 * n + 1, field=1)]
    assert not any(follow(packets))
    both = [a + b for a, b in zip(packets[::2], packets[1::2], strict=True)]
    assert not any(follow(both))
    assert any(follow(both[:2] + both[3:]))


def test_repeated_packets():
    packets = reference_frames([1, 2, 3])
    sequence = sequence_of("h264")
    found = [sequence.follow(data) for data in [*packets[:3], packets[2], packets[3]]]
    assert [bool(gap) for gap in found] == [False, False, False, True, False]
    assert found[3].superfluous
    assert not found[3].breaks
    # The same number on another picture is no repetition.
    sequence = sequence_of("h264")
    found = [sequence.follow(data) for data in [*packets[:3], picture(2, 4, fill=7), packets[3]]]
    assert found[3].breaks
    # An IDR picture is decoded again: it may be a still one.
    sequence = sequence_of("h264")
    found = [sequence.follow(data) for data in [packets[0], packets[0], packets[1]]]
    assert [bool(gap) for gap in found] == [False, True, False]
    assert not found[1].superfluous
    assert not found[1].breaks


def test_slices_of_one_picture_and_pictures_of_one_packet():
    packets = reference_frames([1, 2, 3, 4])
    sliced = [data + picture(n, 2 * n, fill=1) for n, data in enumerate(packets[1:], 1)]
    assert not any(follow(packets[:1] + sliced))
    assert not any(follow([packets[0], packets[1] + packets[2], packets[3] + packets[4]]))
    assert any(follow([packets[0], packets[1] + packets[3]]))


ANY_PICTURES = st.fixed_dictionaries(
    {
        "frame_num": st.integers(0, 15),
        "order": st.integers(0, 63),
        "idr": st.booleans(),
        "reference": st.integers(0, 1),
        "kind": st.integers(0, 9),
        "field": st.integers(0, 1),
    }
)


@given(st.booleans(), st.lists(ANY_PICTURES, max_size=40))
def test_h264_pictures_in_any_order(frames_only, pictures):
    packets = [headers(frames_only=frames_only, reordered=2)]
    for fields in pictures:
        field = None if frames_only else fields["field"]
        packets.append(picture(**{**fields, "field": field}))
    assert len(follow(packets)) == len(packets)


def test_a_packet_of_start_codes_alone_is_refused():
    with pytest.raises(CodecError, match="expected at most 4096 units in a packet, got more"):
        follow([reference_frames([])[0] + (START + b"\x41\x9a\x22\x11") * 5000])
