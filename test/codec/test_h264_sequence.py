"""H.264 headers made by hand: how they are read, and what follows from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bits import Bits, escape
from twnet_ros.codec import CodecError, FrameKind, h264, h264_parameter
from twnet_ros.codec.bit import BitReader
from twnet_ros.codec.sequence import sequence_of

START = b"\x00\x00\x01"


def sps(
    *,
    profile=77,
    frame_num_bits=4,
    order_type=0,
    gaps=0,
    frames_only=1,
    reordered=None,
    references=4,
    adaptive=0,
    blocks=(6, 4),
    left=0,
    top=0,
    depths=(8, 8),
    separate=0,
):
    bits = Bits().u(8, profile).u(16, 30).ue(0)
    if profile == 100:
        bits.ue(3 if separate else 1)
        if separate:
            bits.u(1, 1)
        bits.ue(depths[0] - 8, depths[1] - 8).u(1, 0).u(1, 1)  # scaling lists:
        bits.u(1, 1).se(*[1] * 16)  # a whole 4x4 one
        bits.u(1, 1).se(-8)  # one that ends at once
        bits.u(10 if separate else 6, 0)
    bits.ue(frame_num_bits - 4, order_type)
    if order_type == 0:
        bits.ue(2)
    elif order_type == 1:
        bits.u(1, 0).se(-1, 2).ue(2).se(3, -3)
    bits.ue(references).u(1, gaps).ue(blocks[0] - 1, blocks[1] - 1).u(1, frames_only)
    if not frames_only:
        bits.u(1, adaptive)
    bits.u(1, 1).u(1, 1).ue(left, 1, top, 2)  # cropped
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


def pps(*, number=0, active=(1, 1), weighted=(0, 0), groups=1, deltas=0, redundant=0):
    bits = Bits().ue(number, 0).u(1, 0).u(1, deltas).ue(groups - 1, active[0] - 1, active[1] - 1)
    return bits.u(1, weighted[0]).u(2, weighted[1]).se(0, 0, 0).u(2, 0).u(1, redundant).end()


def headers(pictures=None, **settings):
    return nal(7, sps(**settings)) + nal(8, pps(**(pictures or {})))


def recovery_point(count):
    other = bytes([5, 255, 45]) + bytes(300)  # user data
    return nal(6, other + bytes([6, 4]) + Bits().ue(count).u(4, 8).end().ljust(4) + b"\x80", 0)


def picture(
    frame_num,
    order=0,
    *,
    idr=False,
    reference=3,
    kind=0,
    field=None,
    idr_id=0,
    fill=0,
    active=None,
    named=(),
    deltas=0,
    redundant=0,
    weights=(),
    marking=(),
):
    """One slice; frame_num of 4 bits, order of 6 or None, ``field`` 0 top, 1 bottom.

    ``active`` and ``named``, (modification_of_pic_nums_idc, value) pairs, are those of list 0;
    ``marking`` are memory_management_control_operations with their operands.
    """
    bits = Bits().ue(0, kind, 0).u(4, frame_num)
    if field is not None:
        bits.u(1, 1).u(1, field)
    if idr:
        bits.ue(idr_id)
    if order is not None:
        bits.u(6, order % 64)
    if deltas:
        bits.se(-3)
    if redundant:
        bits.ue(0)
    if kind % 5 == 1:
        bits.u(1, 1)
    if kind % 5 in (0, 1):
        bits.u(1, active is not None)
        if active is not None:
            bits.ue(active - 1)
            if kind % 5:
                bits.ue(0)
        bits.u(1, bool(named))
        for command in named:
            bits.ue(*command)
        if named:
            bits.ue(3)
        if kind % 5:
            bits.u(1, 0)
    if weights:
        bits.ue(5, 5)
    for number, flag in enumerate(weights):  # luma, chroma, luma, ...
        bits.u(1, flag)
        if flag:
            bits.se(*[1, -1] * (1 + number % 2))
    if reference and idr:
        bits.u(1, 0).u(1, bool(marking))
    elif reference:
        bits.u(1, bool(marking))
        for command in marking:
            bits.ue(*command)
        if marking:
            bits.ue(0)
    bits.u(32, 0xFFFFFFFF).u(8, fill)
    return nal(5 if idr else 1, bits.end(), reference)


def test_exp_golomb_codes():
    values = [0, 1, 2, 3, 7, 8, 254, 255, 65535, 2**31]
    bits = BitReader(Bits().ue(*values).se(0, 1, -1, 2, -2, -(2**15)).u(3, 5).end())
    assert [bits.unsigned() for _ in values] == values
    assert [bits.signed() for _ in range(6)] == [0, 1, -1, 2, -2, -(2**15)]
    assert bits.read(3) == 5


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data):
    sequence, parameters = h264_parameter.read_sps(sps()), h264_parameter.read_pps(pps())
    for read in (
        h264_parameter.read_sps,
        h264_parameter.read_pps,
        h264.read_recovery,
        lambda unit: h264.read_slice(b"\x65" + unit, sequence, parameters),
    ):
        try:
            read(data)
        except CodecError as error:
            assert "expected" in str(error)


@given(st.binary(max_size=40))
def test_emulation_prevention_is_undone(data):
    assert h264_parameter.unescape(escape(data)) == data


def test_sequence_parameters():
    plain = h264_parameter.read_sps(escape(sps()))
    assert (plain.frame_num_bits, plain.order_type, plain.order_bits) == (4, 0, 6)
    assert (plain.gaps_allowed, plain.frames_only, plain.reordered) == (False, True, 16)
    rich = h264_parameter.read_sps(
        escape(sps(profile=100, frame_num_bits=9, gaps=1, frames_only=0, reordered=2))
    )
    assert (rich.frame_num_bits, rich.order_bits, rich.reordered) == (9, 6, 2)
    assert (rich.gaps_allowed, rich.frames_only) == (True, False)
    cyclic = h264_parameter.read_sps(escape(sps(order_type=1, reordered=1)))
    assert (cyclic.order_type, cyclic.order_bits, cyclic.reordered) == (1, 0, 1)
    assert h264_parameter.read_sps(escape(sps(order_type=2))).reordered == 0
    assert h264_parameter.read_sps(escape(sps(profile=66))).reordered == 0


def test_slice_headers():
    sequence = h264_parameter.read_sps(sps(frames_only=0))
    unit = picture(5, 9, idr=True, kind=7, field=1, idr_id=3)[4:]
    parameters = h264_parameter.read_pps(pps())
    read = h264.read_slice(unit, sequence, parameters)
    assert (read.idr, read.idr_id, read.frame_num, read.order) == (True, 3, 5, 9)
    assert (read.is_field, read.bottom, read.reference) == (True, True, True)
    assert read.kind is FrameKind.I
    unit = picture(5, reference=0, field=0)[4:]
    assert not h264.read_slice(unit, sequence, parameters).reference


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


# Pictures after the first, of which 3, 4 and 5 did not come, as gaps in frame_num allow.
WITH_GAPS = {
    "the picture before the gap, named": ([picture(6, 12, named=[(0, 3)])], [""]),
    "no picture": ([picture(6, 12, kind=2), picture(7, 14)], ["", ""]),
    "one of several": ([picture(6, 12, active=2)], [""]),
    "a long-term picture": ([picture(6, 12, named=[(2, 0)])], [""]),
    "the last one, as nothing is named": (
        [picture(6, 12)],
        ["lost packets: expected frame_num 5, got 6, which refers to it"],
    ),
    "the last one, named": (
        [picture(6, 12, named=[(0, 0)])],
        ["lost packets: expected frame_num 5, got 6, which refers to it"],
    ),
    "one in the gap, later": (
        [picture(6, 12, named=[(0, 3)]), picture(7, 14, named=[(0, 2)])],
        ["", "lost packets: expected frame_num 4, got 7, which refers to it"],
    ),
    "by another slice alone": (
        [picture(6, 12, named=[(0, 3)]) + picture(6, 12, named=[(0, 1)])],
        ["lost packets: expected frame_num 4, got 6, which refers to it"],
    ),
    "those that came after it": ([picture(6, 12, named=[(0, 3)]), picture(7, 14)], ["", ""]),
}


@pytest.mark.parametrize("case", WITH_GAPS)
def test_a_gap_that_is_allowed_is_a_loss_where_something_refers_into_it(case):
    pictures, expected = WITH_GAPS[case]
    packets = reference_frames([1, 2], gaps=1, references=8)
    assert follow(packets + pictures) == ["", "", "", *expected]
    gaps = map(sequence_of("h264").follow, packets + pictures)
    assert [gap.breaks for gap in gaps if gap] == [True] * any(expected)


def test_a_number_that_was_missing_comes_back_with_another_picture():
    packets = [headers(gaps=1) + picture(0, 0, idr=True), picture(2, 4, named=[(0, 1)])]
    packets += [picture(n % 16, 2 * n) for n in range(3, 19)]
    assert not any(follow(packets))
    behind_another_gap = [picture(1, 34, named=[(0, 1)]), picture(2, 36)]  # the numbers 17 and 18
    assert not any(follow(packets[:15] + behind_another_gap))


@pytest.mark.parametrize(
    ("pictures", "said"),
    [
        ([picture(1, 2), picture(2, 4, named=[(0, 0)]), picture(3, 6, kind=2)], False),
        ([picture(1, 2), picture(2, 4, active=2)], True),
        ([picture(1, 2, named=[(2, 0)])], True),
        ([picture(1, 8), picture(2, 4, kind=1, reference=0)], True),
    ],
)
def test_where_a_loss_in_allowed_gaps_may_not_show_is_said(pictures, said):
    text = "frame numbers may have gaps: lost packets may not show"
    assert (text in traits([key(gaps=1), *pictures])[1]) == said
    assert text not in traits([key(), *pictures])[1]


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


@pytest.mark.parametrize("reference", [3, 0])
@pytest.mark.parametrize("lost", range(2, 7))
def test_a_lost_field_is_a_loss(lost, reference):
    """Where nothing refers to it, too: what FFmpeg then holds is not the frame."""
    packets = [headers(frames_only=0) + picture(0, 0, idr=True, field=0), picture(0, 1, field=1)]
    number = 1
    for n in range(1, 5):
        refers = 3 if n != 2 else reference
        fields = [picture(number, 2 * n + f, field=f, reference=refers) for f in (0, 1)]
        packets += fields
        number += bool(refers)
    assert not any(follow(packets))
    sequence = sequence_of("h264")
    gaps = [gap for n, data in enumerate(packets) if n != lost and (gap := sequence.follow(data))]
    refers = lost not in (4, 5) or reference > 0
    assert len(gaps) == 1 and gaps[0].breaks == refers
    assert "lost packets: expected the " in gaps[0].reason


def test_a_field_of_an_idr_picture_makes_both_a_key_picture():
    both = picture(0, 0, idr=True, field=0, kind=7) + picture(0, 1, field=1)
    found, _ = traits([headers(frames_only=0) + both, coded_frame(1, 2, field=0)])
    assert [one.kind for one in found] == [FrameKind.I, FrameKind.P]


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
    for second in packets[2], picture(0, 0, idr=True, idr_id=1, kind=7):
        with pytest.raises(CodecError, match="expected one picture a packet, got 2"):
            follow([packets[0], packets[1] + second])


ANY_PICTURES = st.fixed_dictionaries(
    {
        "frame_num": st.integers(0, 15),
        "order": st.integers(0, 63),
        "idr": st.booleans(),
        "reference": st.integers(0, 1),
        "kind": st.sampled_from([0, 1, 2, 5, 6, 7]),
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


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"marking": [(5,)] * 67}, "at most 66 operations on references"),
        ({"marking": [(7, 0)]}, "operations on references up to 6, got 7"),
        ({"named": [(0, 0)] * 33}, "at most 32 names of references"),
    ],
)
def test_no_more_is_read_of_a_slice_than_it_can_have(settings, expected):
    with pytest.raises(CodecError, match=expected):
        follow([reference_frames([])[0], picture(1, 2, **settings)])


def test_parameter_sets_of_other_ids_than_there_are_are_none():
    strange = nal(8, pps(number=256)) + nal(8, pps(number=999))
    sequence = sequence_of("h264")
    sequence.follow(headers() + strange + picture(0, 0, idr=True, kind=7))
    assert sequence.sets_beside(headers()) == b""
    assert sequence.sets_beside(nal(7, sps())) == headers().replace(b"\0" + START, START)


def test_a_packet_of_start_codes_alone_is_refused():
    with pytest.raises(CodecError, match="expected at most 4096 units in a packet, got more"):
        follow([reference_frames([])[0] + picture(1, 2) * 5000])


def traits(packets):
    """Return what is known of each packet's picture, and the caveat at the end."""
    sequence = sequence_of("h264")
    found = []
    for data in packets:
        sequence.follow(data)
        found.append(sequence.traits)
    return found, sequence.caveat


def key(**settings):
    return headers(**settings) + picture(0, 0, idr=True, kind=7)


P, B = 0, 1
# frame_num of each picture is that of the references before it, plus one.
MOTION = {
    "one reference": ([picture(1, 2), picture(2, 4)], [1, 1], ""),
    "several": ([picture(1, 2), picture(2, 4, active=2)], [1, 1], "several reference frames"),
    "the one before, named": ([picture(1, 2), picture(2, 4, named=[(0, 0)])], [1, 1], ""),
    "the one before that": (
        [picture(1, 2), picture(2, 4, named=[(0, 1)])],
        [1, 0],
        "motion vectors that skip",
    ),
    "a long-term one": ([picture(1, 2, named=[(2, 0)])], [0], "motion vectors that skip"),
    "named across the range": (
        [*(picture(n % 16, 2 * n) for n in range(1, 16)), picture(0, 32, named=[(0, 0)])],
        [1] * 16,
        "",
    ),
    "named upwards": ([picture(1, 2), picture(2, 4, named=[(1, 14)])], [1, 1], ""),
    # Two layers in time: the second P picture refers to the first one.
    "layers": (
        [picture(1, 2), picture(2, 4, reference=0), picture(2, 6), picture(3, 8)],
        [1, 1, 0, 1],
        "motion vectors that skip",
    ),
    "layers of several": (
        [picture(1, 2, reference=0), picture(1, 4, active=2)],
        [1, 0],
        "motion vectors that skip",
    ),
    "B": (
        [picture(1, 8), picture(2, 4, kind=B, reference=0), picture(2, 6, kind=B, reference=0)]
        + [picture(2, 16), picture(3, 12, kind=B, reference=0)],
        [1] * 5,
        "",
    ),
    "B of several": (
        [picture(1, 8), picture(2, 4, kind=B, reference=0, active=2)],
        [1, 1],
        "several reference frames",
    ),
    "B of reordered lists": (
        [picture(1, 8), picture(2, 4, kind=B, reference=0, named=[(0, 0)])],
        [1, 1],
        "several reference frames",
    ),
    "pyramid": (
        [picture(1, 8), picture(2, 4, kind=B), picture(3, 2, kind=B, reference=0)]
        + [picture(3, 6, kind=B, reference=0)]
        + [picture(3, 16, named=[(0, 1)]), picture(4, 12, kind=B, reference=0)],
        [1, 1, 0, 0, 1, 1],
        "B pictures that others refer to",
    ),
    "P after a pyramid's B": (
        [picture(1, 8), picture(2, 4, kind=B), picture(3, 16)],
        [1, 1, 0],
        "B pictures that others refer to",
    ),
    "P after a pyramid's B, anchor named": (
        [picture(1, 8), picture(2, 4, kind=B), picture(3, 16, named=[(0, 1)])],
        [1, 1, 1],
        "B pictures that others refer to",
    ),
    "P shown before the last one": (
        [picture(1, 8), picture(2, 4)],
        [1, 0],
        "motion vectors that skip",
    ),
    "P after one that is shown before the last one": (
        [picture(1, 8), picture(2, 4), picture(3, 16), picture(4, 24)],
        [1, 0, 0, 1],
        "motion vectors that skip",
    ),
    "P after one that is shown before the last one, that one named": (
        [picture(1, 8), picture(2, 4), picture(3, 16, named=[(0, 1)])],
        [1, 0, 1],
        "motion vectors that skip",
    ),
    "B between P pictures that change places": (
        [picture(1, 8), picture(2, 4), picture(3, 6, kind=B, reference=0)],
        [1, 0, 1],
        "motion vectors that skip",
    ),
    "P after a second IDR picture": (
        [*(picture(n, 4 * n) for n in range(1, 10)), picture(0, 0, idr=True, idr_id=1, kind=7)]
        + [picture(1, 2)],
        [1] * 11,
        "",
    ),
    "B without a future": (
        [picture(1, 8), picture(2, 16, kind=B, reference=0)],
        [1, 0],
        "motion vectors that skip",
    ),
    "P after one that became a long-term one": (
        [picture(1, 2, marking=[(4, 1), (6, 0)]), picture(2, 4), picture(3, 6)],
        [1, 0, 1],
        "motion vectors that skip",
    ),
    "P of long-term ones alone, each in the place of the last": (
        [picture(n, 2 * n, marking=[(2 - (n == 1), 0), (6, 0)]) for n in range(1, 4)],
        [1, 1, 1],
        "",
    ),
    "B of a stream that marks the same place again and again": (
        [picture(n, 8 * n, marking=[(2, 0), (6, 0)] * (n in (1, 3))) for n in range(1, 7)]
        + [picture(7, 44, kind=B, reference=0)],
        [1, 0, 1, 0, 1, 1, 1],
        "motion vectors that skip",
    ),
    "B after what is shown before it is dropped": (
        [picture(1, 8, marking=[(1, 0)]), picture(2, 4, kind=B, reference=0)],
        [1, 0],
        "motion vectors that skip",
    ),
    "B after what is shown before it became a long-term one": (
        [picture(1, 8, marking=[(3, 0, 0)]), picture(2, 4, kind=B, reference=0)],
        [1, 0],
        "motion vectors that skip",
    ),
    "B after older ones are dropped, as with open GOPs": (
        [picture(1, 8), picture(2, 16, marking=[(1, 1)]), picture(3, 12, kind=B, reference=0)],
        [1, 1, 1],
        "",
    ),
    "B of a pyramid whose P was dropped": (
        [picture(1, 8), picture(2, 4, kind=B), picture(3, 16, named=[(0, 1)], marking=[(1, 1)])]
        + [picture(4, 12, kind=B, reference=0)],
        [1, 1, 1, 0],
        "B pictures that others refer to",
    ),
    "B after a P that is no reference": (
        [picture(1, 16), picture(2, 24, reference=0), picture(2, 20, kind=B, reference=0)],
        [1, 1, 0],
        "motion vectors that skip",
    ),
}


SKIPPING = {case for case, (_, _, caveat) in MOTION.items() if "skip" in caveat}
SKIPPING |= {"P after a pyramid's B", "B of a pyramid whose P was dropped"}


@pytest.mark.parametrize("case", MOTION)
def test_motion_is_left_out_where_it_does_not_point_to_the_frame_before(case):
    pictures, expected, caveat = MOTION[case]
    found, said = traits([key(), *pictures])
    assert [one.motion for one in found[1:]] == [bool(one) for one in expected]
    assert said.startswith(caveat)
    assert bool(said) == bool(caveat)
    assert ("motion vectors that skip" in said) == (case in SKIPPING)


@pytest.mark.parametrize(
    ("references", "long", "expected"),
    [
        (1, (), [True, False, True]),
        (2, (), [True, True, True]),
        (2, [(6, 0)], [True, False, True]),  # a P picture refers to all there is
    ],
)
def test_b_pictures_need_both_sides_among_the_short_term_references(references, long, expected):
    first = headers(references=references) + picture(0, 0, idr=True, kind=7, marking=long)
    found, _ = traits([first, picture(1, 8), picture(2, 4, kind=B, reference=0), picture(2, 16)])
    assert [one.motion for one in found[1:]] == expected


def test_a_b_picture_of_the_past_alone_is_as_good_as_p():
    packets = [key(), picture(1, 4, kind=B), picture(2, 8), picture(3, 6, kind=B, reference=0)]
    found, _ = traits(packets)
    assert [one.kind.value for one in found] == ["I", "P", "P", "B"]
    assert [one.motion for one in found[1:]] == [False, True, True]


def test_in_the_order_of_decoding_every_b_picture_is_of_the_past_alone():
    first = headers(order_type=2) + picture(0, None, idr=True, kind=7)
    packets = [first, picture(1, None, kind=B), picture(2, None, kind=B), picture(3, None)]
    found, caveat = traits(packets)
    assert [one.kind.value for one in found] == ["I", "P", "P", "P"]
    assert [one.motion for one in found[1:]] == [False, False, True]
    assert caveat.startswith("motion vectors that skip")


def test_slices_are_read_behind_optional_fields():
    parameters = {"deltas": 1, "redundant": 1, "active": (2, 1)}
    first = headers(pictures=parameters) + picture(0, 0, idr=True, kind=7, deltas=1, redundant=1)
    rest = [picture(n, 2 * n, deltas=1, redundant=1, active=1) for n in (1, 2)]
    assert traits([first, *rest])[1] == ""
    rest.append(picture(3, 6, deltas=1, redundant=1))
    assert traits([first, *rest])[1].startswith("several")


@pytest.mark.parametrize(
    ("weighted", "kind", "weights", "expected"),
    [
        ((1, 0), P, (1, 0), True),
        ((1, 0), P, (0, 1), True),
        ((1, 0), P, (0, 0), False),
        ((1, 0), B, (), False),
        ((0, 1), B, (0, 0, 0, 1), True),
        ((0, 1), B, (0, 0, 0, 0), False),
        ((0, 2), B, (), False),
        ((0, 2), P, (), False),
    ],
)
def test_weights_make_residuals_approximate(weighted, kind, weights, expected):
    first = key(pictures={"weighted": weighted})
    two = [(1, 16)] if kind == B else [(1, 2)]
    packets = [first, *(picture(*at, weights=(0, 0) * weighted[0]) for at in two)]
    packets.append(picture(2, 8, kind=kind, reference=0, weights=weights))
    _, caveat = traits(packets)
    assert caveat.startswith("weighted prediction") == expected
    assert bool(caveat) == expected


def test_every_slice_of_a_picture_counts():
    mixed = picture(1, 2, kind=2) + picture(1, 2) + picture(1, 2, kind=2)
    (_, first, second), caveat = traits([key(), mixed, picture(2, 4) + picture(2, 4, active=3)])
    assert first.kind is FrameKind.P
    assert second.motion
    assert caveat.startswith("several")
    between = picture(2, 2, kind=2) + picture(2, 2, kind=1)
    (_, _, last), _ = traits([key(), picture(1, 4), between])
    assert last.kind is FrameKind.B
    (_, _, last), _ = traits([key(), picture(1, 2), picture(2, 4) + picture(2, 4, named=[(0, 1)])])
    assert not last.motion


@pytest.mark.parametrize(
    ("settings", "field"),
    [({"frames_only": 0}, 0), ({"frames_only": 0, "adaptive": 1}, None)],
)
def test_interlaced_pictures_have_no_motion(settings, field):
    frame = {"frames_only": 0}
    first = headers(**settings) + coded_frame(0, 0, idr=True, kind=7)
    assert not any(one.motion for one in traits([first, coded_frame(1, 2, field=field)])[0][1:])
    # A frame that is coded as one may keep its own.
    first = headers(**frame) + coded_frame(0, 0, idr=True, kind=7)
    found, caveat = traits([first, coded_frame(1, 2), coded_frame(2, 4)])
    assert [one.motion for one in found[1:]] == [True, True]
    assert caveat == ""


def test_a_field_of_its_own_is_the_second_of_the_one_before():
    first = headers(frames_only=0) + picture(0, 0, idr=True, kind=7, field=0)
    rest = [picture(0, 1, field=1), picture(1, 4, field=0), picture(1, 5, field=1)]
    found, _ = traits([first, *rest, picture(2, 8, field=0), picture(3, 12, field=0)])
    assert [one.second for one in found] == [False, True, False, True, False, False]


def coded_frame(frame_num, order, *, field=None, **settings):
    """A picture of a sequence that may have fields: both of them, or a frame."""
    if field is not None:
        top = picture(frame_num, order, field=0, **settings)
        return top + picture(frame_num, order + 1, field=1, **settings)
    text = Bits().ue(0, settings.get("kind", 0), 0).u(4, frame_num).u(1, 0)
    if settings.get("idr"):
        text.ue(0)
    text.u(6, order).u(2, 0).u(32, 0xFFFFFFFF)
    return nal(5 if settings.get("idr") else 1, text.end(), 3)


def whole(packets):
    return [one.whole for one in traits(packets)[0]]


def test_a_recovery_point_is_complete_after_as_many_references_as_it_says():
    first = headers(references=2)
    chain = [picture(n % 16, 2 * n) for n in range(30)]
    chain[12] = recovery_point(7) + chain[12]
    assert whole([first + chain[5], *chain[6:25]]) == [False] * 14 + [True] * 6
    # One that comes later and is complete earlier decides.
    chain[15] = recovery_point(1) + chain[15]
    assert whole([first + chain[5], *chain[6:25]]) == [False] * 11 + [True] * 9
    chain[15] = recovery_point(9) + picture(15, 30)
    assert whole([first + chain[5], *chain[6:25]]) == [False] * 14 + [True] * 6
    # A loss during the recovery undoes it.
    assert not any(whole([first + chain[5], *chain[6:14], *chain[16:25]])[:-2])


def test_pictures_shown_before_a_recovery_is_complete_are_not_whole():
    packets = [headers(references=2) + recovery_point(1) + picture(4, 8)]
    packets += [picture(5, 16), picture(6, 12, kind=B, reference=0), picture(6, 24)]
    assert whole(packets) == [False, True, False, True]


@pytest.mark.parametrize(
    ("references", "announced", "reference", "expected"),
    [(1, None, 3, True), (2, None, 3, False), (2, 0, 3, True), (1, None, 0, False)],
)
def test_which_i_pictures_end_a_fault(references, announced, reference, expected):
    data = picture(4, 8, kind=2, reference=reference)
    if announced is not None:
        data = recovery_point(announced) + data
    assert whole([headers(references=references) + data]) == [expected]
    assert whole([headers(references=references) + picture(0, 0, idr=True, kind=2)]) == [True]


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (key(blocks=(1024, 512)), r"at most 67108864 px \(8192x8192\), got 16384x8192 px"),
        (key(profile=100, depths=(8, 10)), "one bit depth, got 8 for luma and 10"),
        (key(profile=100, separate=1), "separate_colour_plane_flag"),
        (key(pictures={"groups": 3}), "one slice group, got 3"),
        (headers() + picture(1, kind=3), r"slice_type 3 \(SP or SI\)"),
        (headers() + picture(1, kind=9), r"slice_type 9 \(SP or SI\)"),
        (headers() + nal(2, picture(1)[5:]), "expected whole slices, got data partitions"),
    ],
)
def test_what_ffmpeg_would_decode_wrongly_is_refused(packet, expected):
    with pytest.raises(CodecError, match=expected):
        follow([packet])


def test_the_largest_picture_is_taken():
    assert follow([key(blocks=(512, 512))]) == [""]


@pytest.mark.parametrize("shift", [{"left": 1}, {"top": 1}])
def test_pictures_cropped_at_the_left_or_top_have_no_motion(shift):
    found, caveat = traits([key(**shift), picture(1, 2)])
    assert not found[1].motion
    assert caveat.startswith("cropped")


@given(st.lists(st.sampled_from("PPPPI"), min_size=1, max_size=40), st.data())
def test_with_one_reference_a_picture_is_whole_if_nothing_it_is_predicted_from_is_lost(
    kinds, data
):
    packets = [headers(references=1) + picture(0, 0, idr=True, kind=2)]
    packets += [
        picture(n % 16, 2 * n, kind=2 if kind == "I" else 0) for n, kind in enumerate(kinds, 1)
    ]
    # Fewer than frame_num can count.
    lost = data.draw(st.sets(st.integers(1, len(kinds)), max_size=7))
    expected, clean = [], True
    for n, kind in enumerate(["I", *kinds]):
        clean = n not in lost and (kind == "I" or clean)
        if n not in lost:
            expected.append(clean)
    assert whole([one for n, one in enumerate(packets) if n not in lost]) == expected
