"""Real streams: healthy ones raise no alarm, packets lost, repeated or exchanged do."""

from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coded import encode
from twnet_ros.codec import StreamDecoder, read_packets
from twnet_ros.codec.sequence import sequence_of

START = b"\x00\x00\x01"


def follow(codec, packets):
    """Return the text that each packet gives, '' for none."""
    sequence = sequence_of(codec)
    return [(gap.reason if gap else "") for gap in map(sequence.follow, packets)]


def scene(count, width=96, height=64):
    rng = np.random.default_rng(0)
    world = rng.integers(0, 256, (20, 40, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    shown = [world[n % 20 :, 2 * n :][:height, :width] for n in range(count)]
    noise = rng.integers(-12, 13, (count, height, width, 3))
    return list(np.clip(np.array(shown) + noise, 0, 255).astype(np.uint8))


@cache
def encoded(codec, options, *, bf=0, gop=12, count=48, **settings):
    settings |= {"gop_size": gop, "max_b_frames": bf}
    if codec == "mpeg4":
        settings |= {"bit_rate": 400_000, "bit_rate_tolerance": 4_000_000}
    options = dict(option.split("=", 1) for option in options.split(" ") if option)
    return encode(codec, scene(count), options, **settings)


HEALTHY = [
    ("h264", "tune=zerolatency", {}),
    ("h264", "profile=baseline", {}),
    ("h264", "tune=zerolatency slices=4", {}),
    ("h264", "refs=5 preset=slow", {}),
    ("h264", "x264-params=bframes=2:b-adapt=0:b-pyramid=0:scenecut=0", {"bf": 2}),
    ("h264", "x264-params=bframes=3:b-pyramid=normal", {"bf": 3}),
    ("h264", "x264-params=bframes=8:b-adapt=0:b-pyramid=strict:ref=4", {"bf": 8}),
    ("h264", "x264-params=bframes=3:open-gop=1:b-adapt=0:aud=1", {"bf": 3}),
    ("h264", "x264-params=bframes=2:nal-hrd=vbr:vbv-maxrate=500:vbv-bufsize=500", {"bf": 2}),
    ("h264", "x264-params=interlaced=1:bframes=2", {"bf": 2}),
    ("h264", "x264-params=intra-refresh=1", {}),
    ("h264", "", {"gop": 1}),
    ("h264", "", {"gop": 500, "bf": 2}),
    ("mpeg4", "", {}),
    ("mpeg4", "", {"gop": 1}),
    ("mpeg4", "", {"gop": 600}),
    ("mpeg4", "", {"bf": 2}),
    ("mpeg4", "b_strategy=1", {"bf": 3}),
    ("mpeg4", "", {"bf": 1, "fps": Fraction(30000, 1001)}),
    ("mpeg4", "", {"fps": Fraction(25, 2)}),
    ("mpeg4", "", {"fps": Fraction(1)}),
    ("mpeg4", "", {"fps": Fraction(1, 2)}),
]


@pytest.mark.parametrize(("codec", "options", "settings"), HEALTHY)
def test_healthy_streams_raise_no_alarm(codec, options, settings):
    packets = encoded(codec, options, **settings)
    assert not any(follow(codec, packets * 2))  # the second time as in a loop
    decoder = StreamDecoder(codec)
    frames = [frame for data in packets for frame in decoder.decode(data)] + decoder.flush()
    assert len(frames) == 48
    assert all(frame.intact for frame in frames)


@pytest.mark.parametrize(
    "name",
    ["mpeg4_gop12.avi", "h264_gop12.mp4", "h264_bframes.mp4"],
)
def test_real_drives_raise_no_alarm(name, drive):
    info, packets = read_packets(drive(f"street_2048x1024_{name}"))
    assert not any(follow(info.codec, [packet.data for packet in packets] * 2))


@given(st.data())
@settings(max_examples=150)
def test_any_loss_repetition_or_exchange_is_noticed(data):
    codec, options, choices = data.draw(
        st.sampled_from(
            [
                ("h264", "tune=zerolatency", {}),
                ("h264", "x264-params=bframes=3:b-pyramid=normal:scenecut=0", {"bf": 3}),
                ("mpeg4", "", {}),
                ("mpeg4", "", {"bf": 2}),
            ]
        )
    )
    packets = encoded(codec, options, **choices)
    at = data.draw(st.integers(4, len(packets) - 4))
    kind = data.draw(st.sampled_from(["loss", "repetition", "exchange"]))
    if kind == "loss":
        damaged = packets[:at] + packets[at + 1 :]
        if codec == "h264" and packets[at + 1].find(START + b"\x65") >= 0:
            return  # directly before an IDR picture: nothing refers to it
    elif kind == "repetition":
        damaged = packets[: at + 1] + packets[at:]
    else:
        damaged = [*packets[:at], packets[at + 1], packets[at], *packets[at + 2 :]]
    found = follow(codec, damaged)
    # Exchanged B pictures may come in an order in which they could have been sent.
    if kind == "exchange" and codec == "h264" and choices:
        return
    assert any(found[at:])
    assert not any(found[:at])
