"""Frames of a broken chain: they come out marked, and nothing else changes."""

import numpy as np
import pytest

from twnet_ros.codec import CodecError, StreamDecoder
from twnet_ros.codec.bitstream import headers_of

CODECS = ["mpeg4", "h264"]
GOP, FRAMES = 6, 24


@pytest.fixture
def packets(pan, encode):
    return lambda codec: [packet.data for packet in encode(codec, pan(FRAMES, dx=2), gop=GOP)]


@pytest.fixture
def whole(packets, decode_all):
    return lambda codec: decode_all(codec, list(enumerate(packets(codec))))


def lossy(packets, lost):
    return [(number, data) for number, data in enumerate(packets) if number != lost]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("lost", range(2, GOP))  # of MPEG-4, the second's loss does not show
def test_after_a_loss_every_picture_comes_and_is_marked_up_to_the_key_frame(
    codec, lost, packets, whole, decode_all
):
    sound = whole(codec)
    kept = decode_all(codec, lossy(packets(codec), lost), keep_broken=True)
    assert sorted(kept) == [number for number in range(FRAMES) if number != lost]
    for number, (frame, luma) in kept.items():
        broken = lost < number < GOP
        assert frame.intact != broken
        assert bool(frame.fault) == broken
        assert frame.follows == (number not in ((0, lost + 1) if lost < GOP - 1 else (0,)))
        if not broken:
            assert luma == sound[number][1]
            same = frame.motion is None or (
                np.array_equal(frame.motion.displacement, sound[number][0].motion.displacement)
            )
            assert same
    if lost < GOP - 1:
        assert "lost packets" in kept[GOP - 1][0].fault


@pytest.mark.parametrize("codec", CODECS)
def test_after_damage_every_other_picture_comes(codec, packets, whole, decode_all):
    data = list(enumerate(packets(codec)))
    data[2] = (2, data[2][1][: len(data[2][1]) // 2])
    sound, kept = whole(codec), decode_all(codec, data, keep_broken=True)
    assert set(kept) >= set(range(FRAMES)) - {2}
    for number, (frame, luma) in kept.items():
        assert frame.intact == (not 2 <= number < GOP)
        assert not frame.intact or luma == sound[number][1]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("lost", range(10, 34, 3))
def test_intact_frames_among_b_frames_are_right(codec, lost, pan, encode_reordered, decode_all):
    packets = encode_reordered(codec, pan(48, dx=1))
    sound = decode_all(codec, list(enumerate(packets)))
    strict = decode_all(codec, lossy(packets, lost))
    kept = decode_all(codec, lossy(packets, lost), keep_broken=True)
    intact = {pts for pts, (frame, _) in kept.items() if frame.intact}
    assert all(kept[pts][1] == sound[pts][1] for pts in intact)
    assert len(intact) >= 48 - 24
    assert set(kept) >= {pts for pts, (frame, _) in strict.items() if frame.intact}
    assert len(kept) > len(strict)


@pytest.mark.parametrize("codec", CODECS)
def test_nothing_is_kept_before_the_first_key_frame(codec, packets):
    data = packets(codec)
    decoder, early = StreamDecoder(codec, keep_broken=True), []
    decoder.decode(headers_of(codec, data[0]))
    for packet in data[2:GOP]:
        early += decoder.decode(packet)
        assert not decoder.keeps
    # Of MPEG-4 FFmpeg gives them whether they are to be kept or not.
    assert [frame.intact for frame in early] == [False] * {"mpeg4": GOP - 2, "h264": 0}[codec]
    (frame,) = decoder.decode(data[GOP])
    assert frame.intact and decoder.keeps
    decoder.lose("the queue overflowed")  # what is lost outside the stream leaves nothing behind
    assert not decoder.keeps
    for packet in data[GOP + 2 : 2 * GOP]:
        assert not any(frame.intact for frame in decoder.decode(packet))
    assert all(f.intact for packet in data[2 * GOP :] for f in decoder.decode(packet))


@pytest.mark.parametrize("codec", CODECS)
def test_random_damage_leaves_the_same_frames_intact(codec, packets, whole, decode_all):
    """Whether broken frames are kept or not, the intact ones are the same, and right."""
    rng = np.random.default_rng(0)
    sound = whole(codec)
    for _ in range(25):
        data = []
        for number, packet in enumerate(packets(codec)):
            fate = rng.random()
            if fate < 0.05:
                continue
            if fate < 0.1:
                packet = packet[: int(rng.integers(1, len(packet)))]
            data.append((number, packet))
        strict, kept = decode_all(codec, data), decode_all(codec, data, keep_broken=True)
        intact = {pts for pts, (frame, _) in kept.items() if frame.intact}
        assert intact == {pts for pts, (frame, _) in strict.items() if frame.intact}
        assert all(kept[pts][1] == sound[pts][1] for pts in intact)


def test_a_strict_decoder_keeps_nothing(packets):
    decoder = StreamDecoder("h264")
    data = packets("h264")
    decoder.decode(data[0])
    with pytest.raises(CodecError):
        decoder.decode(data[1][:20])
    assert not decoder.keeps
