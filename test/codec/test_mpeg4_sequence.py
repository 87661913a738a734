"""MPEG-4 headers made by hand: how they are read, and what follows from them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bits import Bits
from twnet_ros.codec import CodecError, mpeg4
from twnet_ros.codec.mpeg4_sequence import Cadence
from twnet_ros.codec.sequence import sequence_of

START = b"\x00\x00\x01"


def layer(
    resolution=25, *, low_delay=1, step=None, version=1, shape=0, interlaced=0, sprite=0, odd=0
):
    bits = Bits().u(1, 0).u(8, 1).u(1, version != 1)
    if version != 1:
        bits.u(4, version).u(3, 1)
    bits.u(4, 15).u(16, 0x0101)
    bits.u(1, low_delay is not None)
    if low_delay is not None:
        bits.u(2, 1).u(1, low_delay).u(1, 1).u(79, 0)
    bits.u(2, shape)
    if shape == 3 and version != 1:
        bits.u(4, 0)
    bits.u(1, 1).u(16, resolution).u(1, 1).u(1, step is not None)
    if step is not None:
        bits.u(max(1, (resolution - 1).bit_length()), step)
    bits.u(1, 1).u(13, 64).u(1, 1).u(13, 48).u(1, 1).u(1, interlaced).u(1, 1)
    bits.u(1 if version == 1 else 2, sprite)
    if sprite == 2:
        bits.u(6, 3).u(2, 0).u(1, odd)  # warping points, accuracy, brightness
    return START + b"\x20" + bits.u(1, odd).u(40, 0).end()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("settings", "caveats", "unsupported"),
    [
        ({}, [], ""),
        ({"interlaced": 1}, ["interlaced"], ""),
        ({"sprite": 1}, [], "expected moving pictures, got a static sprite"),
        ({"sprite": 2}, ["global motion"], ""),
        ({"sprite": 2, "interlaced": 1}, ["interlaced", "global motion"], ""),
        ({"sprite": 2, "odd": 1}, ["global motion"], "changes of brightness"),
        ({"odd": 1}, [], "expected 8 bits a sample"),
        ({"shape": 1}, [], "rectangular shape, got binary"),
        ({"shape": 2}, [], "rectangular shape, got binary only"),
        ({"shape": 3}, [], "rectangular shape, got grayscale"),
    ],
)
def test_what_layers_may_hold(version, settings, caveats, unsupported):
    if version == 1 and settings.get("sprite") == 2:
        return  # such a layer has one bit for it
    sequence = sequence_of("mpeg4")
    packets = [layer(version=version, **settings) + vop("I", 0, 0), vop("P", 0, 1)]
    for data in packets:
        if unsupported:
            with pytest.raises(CodecError, match=unsupported):
                sequence.follow(data)
        else:
            assert sequence.follow(data) is None
    found = sequence.caveat.split("; ") if sequence.caveat else []
    assert [one.split(":")[0].split(" (")[0] for one in found] == caveats


def test_b_vops_are_said_to_lack_vectors_until_another_layer_comes():
    sequence = sequence_of("mpeg4")
    sequence.follow(layer(low_delay=0) + vop("I", 0, 0))
    assert sequence.follow(vop("P", 0, 2)) is None
    assert sequence.caveat == ""
    sequence.follow(vop("B", 0, 1))
    assert sequence.caveat == "B pictures: they come without motion vectors"
    sequence.follow(layer(30) + vop("I", 0, 0))
    assert sequence.caveat == ""


def vop(kind, seconds, increment, *, resolution=25, coded=1, fill=0):
    bits = Bits().u(2, "IPBS".index(kind)).text + "1" * seconds + "0" + "1"
    made = Bits()
    made.text = bits
    made.u(max(1, (resolution - 1).bit_length()), increment).u(1, 1).u(1, coded).u(24, fill)
    return START + b"\xb6" + made.end()


def group(seconds):
    code = Bits().u(5, seconds // 3600).u(6, seconds // 60 % 60).u(1, 1).u(6, seconds % 60)
    return START + b"\xb3" + code.u(2, 0).end()


def follow(packets):
    """Return the text that each packet gives, '' for none."""
    sequence = sequence_of("mpeg4")
    return [(gap.reason if gap else "") for gap in map(sequence.follow, packets)]


def vops(times, resolution=25, keys=(0,), **settings):
    """Anchors at those times in ticks."""
    packets, last = [layer(resolution, **settings)], 0
    for number, time in enumerate(times):
        second = time // resolution
        kind = "I" if number in keys else "P"
        data = vop(kind, second - last, time % resolution, resolution=resolution, fill=number)
        packets.append(data)
        last = second
    return [packets[0] + packets[1], *packets[2:]]


@pytest.mark.parametrize("resolution", [1, 2, 17, 25, 30000, 65535])
@pytest.mark.parametrize(("low_delay", "step", "version"), [(1, None, 1), (0, 1, 2), (None, 1, 5)])
def test_layers_and_their_pictures(resolution, low_delay, step, version):
    step = None if resolution == 1 else step
    unit = layer(resolution, low_delay=low_delay, step=step, version=version)[4:]
    read = mpeg4.read_layer(unit)
    expected = (resolution, step, None if low_delay is None else bool(low_delay))
    assert (read.resolution, read.step, read.low_delay) == expected
    for kind in "IPBS":
        unit = vop(kind, 3, resolution - 1, resolution=resolution, coded=0)[4:]
        assert mpeg4.read_vop(unit, read) == mpeg4.Vop(kind, 3, resolution - 1, False)
    assert mpeg4.read_group(group(3600 * 5 + 60 * 4 + 3)[4:]) == 3600 * 5 + 60 * 4 + 3


@pytest.mark.parametrize("step", [1, 2, 5])
@pytest.mark.parametrize("lost", range(3, 30))
def test_a_gap_in_a_constant_cadence(step, lost):
    packets = vops(range(0, 32 * step, step))
    assert not any(follow(packets))
    found = follow(packets[:lost] + packets[lost + 1 :])
    assert "lost packets" in found[lost]
    assert sum(map(bool, found)) == 1


def test_a_fixed_rate_needs_no_learning():
    packets = vops(range(0, 20, 2), step=2)
    found = follow(packets[:1] + packets[2:])
    assert found[1] == "lost packets: expected VOP times 2 apart, got 4 after 0"


def test_a_loss_before_the_cadence_was_known_is_told_late():
    packets = vops(range(20))
    found = follow(packets[:1] + packets[2:])
    assert [bool(text) for text in found[:4]] == [False, False, True, False]


def test_times_that_go_back_or_stand_still():
    packets = vops(range(0, 90, 3))
    swapped = follow(packets[:4] + [packets[5], packets[4], *packets[6:]])
    assert "lost" in swapped[4]
    assert "out of order" in swapped[5]
    sequence = sequence_of("mpeg4")
    for data in packets[:5]:
        sequence.follow(data)
    assert sequence.follow(packets[4]).superfluous
    other = vop("P", 0, 12, fill=99)
    assert sequence.follow(other).breaks


def test_a_key_frame_may_go_back():
    packets = vops(range(30), keys=(0, 12, 24))
    assert not any(follow(packets * 3))
    assert not any(follow(packets[:20] + packets))
    rest = [vop("P", 0, n) for n in range(4, 20)]
    assert not any(follow([*packets, layer() + group(0) + vop("I", 0, 3), *rest]))
    sequence = sequence_of("mpeg4")
    later = [*packets, layer() + group(7) + vop("I", 0, 3), *rest]
    (gap,) = [gap for gap in map(sequence.follow, later) if gap]
    assert "lost packets" in gap.reason
    assert not gap.breaks


def test_pictures_that_are_not_coded_count():
    packets = vops(range(12))
    packets[5] = vop("P", 0, 5, coded=0)
    assert not any(follow(packets))


@pytest.mark.parametrize(
    "times",
    [
        np.cumsum(np.random.default_rng(0).integers(30, 50, 90)),  # a jittery clock in ms
        np.round(np.arange(90) * 1000 / 30).astype(int),
        np.round(np.arange(90) * 1000 / 60).astype(int),
    ],
    ids=["jitter", "30 Hz in ms", "60 Hz in ms"],
)
def test_without_a_constant_cadence_nothing_is_said(times):
    packets = vops([int(time) for time in times - times[0]], 1000)
    assert not any(follow(packets))


def test_pictures_that_a_sender_leaves_out_in_turns_are_learnt():
    cadence = Cadence()
    found = [cadence.missing_before(1 + (n % 4 == 3), key=False) for n in range(60)]
    assert not any(found[16:])


def test_intervals_of_which_none_prevails_are_no_cadence():
    cadence = Cadence()
    for interval in (3, 3, 4, 5, 7, 3, 3, 8, 9, 11):
        cadence.missing_before(interval, key=False)
        assert cadence.step in (None, 3)
    assert cadence.step is None


@pytest.mark.parametrize("steps", [(1, 2), (2, 1), (2, 3), (1001, 2002)])
def test_a_change_of_rate_is_learnt(steps):
    cadence = Cadence()
    found = [cadence.missing_before(steps[n >= 30], key=False) for n in range(80)]
    assert not any(found[:30])
    assert not any(found[46:])
    assert cadence.step == steps[1]


@given(st.lists(st.integers(1, 60), max_size=40))
def test_whatever_came_before_a_constant_cadence_is_learnt(before):
    cadence = Cadence()
    for interval in before:
        cadence.missing_before(interval, key=False)
    found = [cadence.missing_before(2, key=False) for _ in range(20)]
    assert not any(found[16:])
    assert cadence.step == 2


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data):
    whole = mpeg4.read_layer(layer(30)[4:])
    for read in (mpeg4.read_layer, mpeg4.read_group, lambda unit: mpeg4.read_vop(unit, whole)):
        try:
            read(data)
        except CodecError as error:
            assert "expected" in str(error)


ANY_VOPS = st.tuples(
    st.sampled_from("IPBS"), st.integers(0, 2), st.integers(0, 24), st.integers(0, 1)
)


@given(st.sampled_from([0, 1, None]), st.lists(ANY_VOPS, max_size=40))
def test_vops_in_any_order(low_delay, pictures):
    packets = [layer(low_delay=low_delay)]
    packets += [vop(kind, *rest, coded=coded) for kind, *rest, coded in pictures]
    assert len(follow(packets)) == len(packets)
