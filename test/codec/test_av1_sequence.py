"""AV1: what is lost, repeated or out of order shows in the order hints, and nothing else does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bits import Bits
from coded import encode
from twnet_ros.codec import CodecError, Limit, StreamDecoder
from twnet_ros.codec.av1_header import read_frame_header, read_sequence_header
from twnet_ros.codec.sequence import sequence_of

GOP = 10
FRAMES = 30
STRUCTURES = {
    "hierarchical": {"preset": "11"},
    "low_delay": {"preset": "11", "svtav1-params": "rc=2:pred-struct=1"},
}
KEY, INTER, INTRA_ONLY, SWITCH = range(4)


def encode_av1(frames, options, gop):
    return encode("libsvtav1", frames, options, gop_size=gop, bit_rate=800_000)


@pytest.fixture(scope="module", params=STRUCTURES)
def packets(request, pan_over):
    frames = pan_over(FRAMES, width=192, height=160, square=4, blur=4)
    packets = encode_av1(frames, STRUCTURES[request.param], GOP)
    assert len(packets) == FRAMES
    return packets


@pytest.fixture(scope="module")
def sound(packets):
    """Luma of every picture, by its number."""
    frames, notices = decode(packets, range(FRAMES))
    assert [frame.intact for frame in frames] == [True] * FRAMES
    assert not any(notices)
    return [frame.y for frame in frames]


def decode(packets, numbers, keep_broken=False):
    """The frames of the packets of these numbers, and what each packet told."""
    decoder = StreamDecoder("av1", keep_broken=keep_broken)
    frames, notices = [], []
    for number in numbers:
        try:
            frames += decoder.decode(packets[number], pts=number)
        except CodecError:
            assert decoder.fault
        notices.append(decoder.notice)
    return frames + decoder.flush(), notices


def assert_sound(frames, sound):
    for frame in frames:
        if frame.intact:
            np.testing.assert_array_equal(frame.y, sound[frame.pts])


def test_a_sound_stream_has_no_notice_wherever_it_is_joined(packets, sound):
    for start in range(FRAMES):
        frames, notices = decode(packets, range(start, FRAMES))
        assert not any(notices)
        assert_sound(frames, sound)
        key = -(-start // GOP) * GOP
        assert [frame.pts for frame in frames if frame.intact] == list(range(key, FRAMES))


def test_a_sound_stream_has_no_notice_after_a_flush_or_a_loss_that_is_told(packets, sound):
    for turn in range(1, FRAMES):
        for interrupt in (StreamDecoder.flush, lambda decoder: decoder.lose("told")):
            decoder = StreamDecoder("av1")
            for number, data in enumerate(packets):
                if number == turn:
                    interrupt(decoder)
                try:
                    assert_sound(decoder.decode(data, pts=number), sound)
                except CodecError:
                    assert turn <= number < -(-turn // GOP) * GOP
                assert not decoder.notice


def test_order_hints_are_followed_past_their_end_in_either_structure(pan_over):
    frames = pan_over(20, width=64, height=64, square=4, blur=4)
    for options in STRUCTURES.values():
        sequence = sequence_of("av1")
        packets = encode_av1([frames[n % 20] for n in range(280)], options, 300)
        assert len(packets) == 280
        assert [sequence.follow(data) for data in packets] == [None] * 280
        assert sequence.caveat == "AV1: frames come without motion vectors"


@pytest.mark.parametrize("keep_broken", [False, True])
def test_every_lost_packet_is_noticed_and_no_wrong_picture_is_intact(packets, sound, keep_broken):
    for lost in range(FRAMES):
        numbers = [number for number in range(FRAMES) if number != lost]
        frames, notices = decode(packets, numbers, keep_broken)
        assert_sound(frames, sound)
        intact = {frame.pts for frame in frames if frame.intact}
        after = (lost // GOP + 1) * GOP
        assert intact == {*range(lost), *range(after, FRAMES)}
        # Nothing comes between a key picture and what is lost before it.
        if 0 < lost < after - 1:
            assert "packets" in notices[lost] and "expected order hint" in notices[lost]
            assert lost % GOP == 0 or notices[lost].startswith("lost packets")


def test_bursts_are_noticed(packets, sound):
    for lost in range(1, FRAMES):
        for count in range(2, GOP):
            frames, _ = decode(packets, [*range(lost), *range(lost + count, FRAMES)])
            for frame in frames:
                # One that only shows a slot may be the same as the one that was lost first.
                same = packets[frame.pts] == packets[lost]
                pictures = [sound[frame.pts], sound[lost if same else frame.pts]]
                assert not frame.intact or any(np.array_equal(frame.y, one) for one in pictures)


def test_repeated_packets_are_left_out(packets, sound):
    for again in range(FRAMES):
        frames, notices = decode(packets, [*range(again + 1), *range(again, FRAMES)])
        assert_sound(frames, sound)
        assert all(frame.intact for frame in frames)
        key = again % GOP == 0  # is decoded again
        assert len(frames) == FRAMES + key
        assert [n for n, notice in enumerate(notices) if notice] == [again + 1] * (again > 0)
        if again:
            assert notices[again + 1].startswith("repeated packet: expected another picture")


def test_swapped_packets_are_noticed(packets, sound):
    for first in range(FRAMES - 1):
        numbers = list(range(FRAMES))
        numbers[first], numbers[first + 1] = first + 1, first
        frames, notices = decode(packets, numbers)
        assert_sound(frames, sound)
        assert any(notices) or first == 0
        if (first + 1) % GOP == 0:  # a late one from before a key picture harms nothing
            assert "out of order" in notices[first + 1]
            assert {f.pts for f in frames if f.intact} == {*range(FRAMES)} - {first}


def test_damage_gives_no_wrong_picture_after_it_and_ends(packets, sound):
    rng = np.random.default_rng(0)
    for _ in range(60):
        victim = int(rng.integers(GOP))
        data = bytearray(packets[victim])
        data[rng.integers(min(len(data), 24))] ^= 1 << int(rng.integers(8))
        damaged = [*packets[:victim], bytes(data), *packets[victim + 1 :]]
        frames, _ = decode(damaged, range(FRAMES))
        after = [frame for frame in frames if frame.pts >= GOP]
        assert [frame.intact for frame in after] == [True] * (FRAMES - GOP)
        assert_sound(after, sound)


class Writer:
    """Writes packets of one hand-made stream."""

    def __init__(self, *, hint_bits=7, points=(0,), model=False, equal=False, ids=0, tools=None):
        self.hint_bits, self.points, self.model, self.equal = hint_bits, points, model, equal
        self.ids, self.tools = ids, tools

    def sequence(self, width=4096, height=2048):
        bits = Bits().u(5).u(1, self.model)
        if self.model:
            bits.u(64, 7).u(1, self.equal)
            if self.equal:
                bits.u(5, 0b00101)  # uvlc
            bits.u(1, 1).u(5, 9).u(32, 1).u(5, 11).u(5, 13)
        bits.u(1, 1).u(5, len(self.points) - 1)
        for number, point in enumerate(self.points):
            bits.u(12, point).u(5, 8 + number % 2).u(1, 1)
            if self.model:
                bits.u(1, number % 2 == 0)
                if number % 2 == 0:
                    bits.u(21, 5)
            bits.u(1, 1).u(4, 3)
        bits.u(4, 12).u(4, 11).u(13, width - 1).u(12, height - 1).u(1, self.ids > 0)
        if self.ids:
            bits.u(4, 2).u(3, self.ids - 5)
        bits.u(3, 5).u(4, 9).u(1, self.hint_bits > 0)
        if self.hint_bits:
            bits.u(2, 1)
        bits.u(1, self.tools is None)
        if self.tools is not None:
            bits.u(1, self.tools)
        if self.tools != 0:
            bits.u(1, 0).u(1, 1)  # no choice of integer vectors
        if self.hint_bits:
            bits.u(3, self.hint_bits - 1)
        return unit(1, bits.end() + bytes(8))

    def existing(self, slot):
        bits = Bits().u(1, 1).u(3, slot)
        return unit(3, self._time(bits).u(self.ids).end() + bytes(8))

    def frame(
        self, kind, hint, refresh=0, *, show=True, later=True, hints=None, size=None, removal=False
    ):
        bits = Bits().u(1, 0).u(2, kind).u(1, show)
        if show:
            self._time(bits)
        else:
            bits.u(1, later)
        forced = kind == SWITCH or (kind == KEY and show)
        resilient = forced or hints is not None
        if not forced:
            bits.u(1, resilient)
        bits.u(1, 1)
        if self.tools is None:
            bits.u(1, 1)
        bits.u(self.ids, 1)
        if kind != SWITCH:
            bits.u(1, size is not None)
        bits.u(self.hint_bits, hint % (1 << self.hint_bits) if self.hint_bits else 0)
        if kind not in (KEY, INTRA_ONLY) and not resilient:
            bits.u(3, 7)
        if self.model:
            bits.u(1, removal)
            if removal:
                for point in self.points[::2]:
                    bits.u(12 if not point or point & 0x101 == 0x101 else 0, 0)
        if not forced:
            bits.u(8, refresh)
        if hints is not None:
            for one in hints:
                bits.u(self.hint_bits, one)
        if size is not None and kind in (KEY, INTRA_ONLY):
            bits.u(13, size[0] - 1).u(12, size[1] - 1)
        return unit(6, bits.end() + bytes(8))

    def _time(self, bits):
        return bits.u(14, 5) if self.model and not self.equal else bits


def unit(kind, payload):
    assert len(payload) < 16384
    size = bytes([len(payload) & 0x7F | 0x80, len(payload) >> 7])
    return bytes([kind << 3 | 2]) + size + payload


def payload(data):
    return data[3:]


def follow(*packets):
    sequence = sequence_of("av1")
    return sequence, [sequence.follow(data) for data in packets]


@pytest.mark.parametrize("hint_bits", [0, 3, 7, 8])
@pytest.mark.parametrize("points", [(0,), (0x101,) * 32])
@pytest.mark.parametrize(("model", "equal"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("ids", [0, 5, 12])
@pytest.mark.parametrize("tools", [None, 0, 1])
def test_headers_are_read_whatever_stands_before(hint_bits, points, model, equal, ids, tools):
    writer = Writer(
        hint_bits=hint_bits, points=points, model=model, equal=equal, ids=ids, tools=tools
    )
    header = read_sequence_header(payload(writer.sequence()))
    assert (header.width, header.height, header.order_hint_bits) == (4096, 2048, hint_bits)
    assert not header.layered
    hint = (1 << hint_bits) - 3 if hint_bits else 0
    hints = tuple(range(8)) if hint_bits else None

    def read(data):
        return read_frame_header(payload(data), header, layer=0)

    assert read(writer.existing(5)).existing == 5
    for removal in (False, True):
        key = read(writer.frame(KEY, hint, size=(100, 50), removal=removal))
        assert (key.key, key.shown, key.showable, key.refreshed) == (True, True, False, 255)
        assert (key.order_hint, key.pixels) == (hint, 104 * 56)
        hidden = read(writer.frame(KEY, hint, 9, show=False, removal=removal))
        assert (hidden.key, hidden.shown, hidden.showable) == (True, False, True)
        assert (hidden.refreshed, hidden.pixels) == (9, 4096 * 2048)
        inter = read(writer.frame(INTER, hint, 66, removal=removal))
        assert (inter.key, inter.shown, inter.showable) == (False, True, True)
        assert (inter.order_hint, inter.refreshed, inter.slot_hints) == (hint, 66, None)
        resilient = read(writer.frame(INTER, hint, 66, hints=hints or (), removal=removal))
        assert (resilient.refreshed, resilient.slot_hints) == (66, hints)
        switch = read(writer.frame(SWITCH, hint, hints=hints or (), removal=removal))
        assert (switch.refreshed, switch.slot_hints, switch.key) == (255, hints, False)
        intra = read(writer.frame(INTRA_ONLY, hint, 3, size=(16, 16), removal=removal))
        assert (intra.refreshed, intra.pixels, intra.key) == (3, 256, False)


@pytest.mark.parametrize(
    ("writer", "silent"),
    [
        (Writer(), False),
        (Writer(points=(0x101,)), False),
        (Writer(hint_bits=0), True),
        (Writer(points=(0x103, 0x101)), True),  # temporal layers
        (Writer(points=(0x301, 0x101)), True),  # spatial layers
    ],
)
def test_streams_that_are_not_followed_say_so(writer, silent):
    start = writer.sequence() + writer.frame(KEY, 0)
    sequence, gaps = follow(start, *(writer.frame(INTER, n, 1) for n in (1, 2, 5, 6, 3)))
    assert gaps[:3] == [None] * 3
    assert gaps[4] is None
    assert ("may not show" in sequence.caveat) == silent
    if silent:
        assert gaps == [None] * 6
    else:
        assert gaps[3].reason == "lost packets: expected order hint 3, got 5"
        assert gaps[3].breaks and gaps[5].superfluous


def test_a_gap_breaks_nothing_where_a_frame_names_all_that_the_slots_hold():
    writer = Writer()
    start = writer.sequence() + writer.frame(KEY, 0)
    for held, breaks in ((1, False), (2, True)):
        last = writer.frame(INTER, 3, 2, hints=(held, *[0] * 7))
        _, gaps = follow(start, writer.frame(INTER, 1, 1), last)
        assert gaps[2].breaks == breaks


def test_the_size_is_that_of_the_key_picture():
    writer = Writer()
    start = writer.sequence() + writer.frame(KEY, 0, size=(640, 360))
    sequence, _ = follow(start, writer.frame(INTER, 1))
    assert sequence.pixels == 640 * 360
    decoder = StreamDecoder("av1", limit=Limit(pixels=640 * 360 - 1))
    with pytest.raises(CodecError, match="expected pictures of at most 230399 px, got 230400 px"):
        decoder.decode(start)


def test_a_key_picture_shown_later_is_followed_and_ends_a_fault():
    writer = Writer()
    start = writer.sequence() + writer.frame(KEY, 0)
    ahead = writer.frame(KEY, 4, 2, show=False) + writer.frame(INTER, 1, 1)
    between = [writer.frame(INTER, number, 1) for number in (2, 3)]
    sequence, gaps = follow(start, ahead, *between, writer.existing(1))
    assert gaps == [None] * 5
    assert sequence.traits.whole
    # All slots hold it now.
    assert sequence.follow(writer.frame(INTER, 5, hints=[4] * 8)) is None
    assert sequence.follow(writer.frame(INTER, 7, hints=[4] * 8)).breaks is False

    sequence, gaps = follow(start, ahead, between[0], writer.existing(1))
    assert gaps[3].reason == "lost packets: expected order hint 3, got 4"
    assert not gaps[3].breaks and sequence.traits.whole
    # Where it is lost itself, the slot has another picture.
    shown = writer.frame(INTER, 1, 1)
    sequence, gaps = follow(start, shown, *between, writer.existing(1))
    assert gaps[4].reason == "lost packets: expected order hint 4, got order hint 0 again"
    assert gaps[4].breaks and not sequence.traits.whole


def test_hidden_pictures_in_packets_of_their_own_may_be_missed():
    writer = Writer()
    start = writer.sequence() + writer.frame(KEY, 0)
    hidden = writer.frame(INTER, 2, 2, show=False)
    sequence, gaps = follow(start, hidden, writer.frame(INTER, 1, 1), writer.existing(1))
    assert gaps == [None] * 4
    assert "may not show" in sequence.caveat


def test_as_many_late_packets_as_a_long_loss_looks_like_break_the_chain():
    writer = Writer()
    start = writer.sequence() + writer.frame(KEY, 0)
    for lost in range(1, 127):
        packets = [writer.frame(INTER, n, 1) for n in (1, 2 + lost, 3 + lost, 4 + lost)]
        _, gaps = follow(start, *packets)
        assert any(gap is not None and gap.breaks for gap in gaps[2:4])
        assert all(gap.breaks or gap.superfluous for gap in gaps[2:4] if gap is not None)


def test_still_key_pictures_are_no_repeats():
    writer = Writer()
    start = writer.sequence() + writer.frame(KEY, 0)
    assert follow(start, start, start)[1] == [None] * 3


@given(st.binary(max_size=80), st.booleans())
def test_what_is_no_header_is_refused_or_read(data, whole):
    writer = Writer(points=(0,) * 32, model=True, ids=6)
    sequence = sequence_of("av1")
    for packet in (
        unit(1, data) + writer.frame(KEY, 0),
        writer.sequence() + unit(6, data),
        writer.sequence() + unit(3, data) + (data if whole else b""),
        writer.frame(INTER, 1),
    ):
        try:
            sequence.follow(packet)
        except CodecError as error:
            assert "expected" in str(error)
