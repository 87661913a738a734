"""Labelled clips as the run time sees them."""

from itertools import islice

import numpy as np
import pytest

from twnet_ros.codec import FrameKind
from twnet_ros.learn.data.clip import Coding, transcode


def numbered(count):
    """Frames whose brightness is their number, and labels that say it."""
    for number in range(count):
        rgb = np.full((64, 96, 3), 20 + 10 * number, np.uint8)
        yield rgb, np.full((64, 96), number, np.uint8)


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_frames_come_with_their_own_labels(codec):
    pairs = list(transcode(numbered(20), Coding(codec, gop=6, bits_per_pixel=0.5)))
    assert [int(labels[0, 0]) for _, labels in pairs] == list(range(20))
    for number, (frame, labels) in enumerate(pairs):
        assert (labels == number).all()
        expected = 16 + (20 + 10 * number) * 219 / 255
        assert abs(float(frame.y.mean()) - expected) < 5
        assert frame.intact
        assert (frame.kind is FrameKind.I) == (number % 6 == 0)


def test_a_clip_without_end_is_read_as_far_as_needed():
    def forever():
        while True:
            yield from numbered(5)

    assert len(list(islice(transcode(forever(), Coding()), 7))) == 7


def test_no_frames_give_no_clip():
    assert list(transcode(iter(()), Coding())) == []


def test_fewer_bits_leave_more_harm():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (6, 64, 96, 3), dtype=np.uint8)
    pairs = [(rgb, np.zeros((64, 96), np.uint8)) for rgb in noise]

    def harm(bits):
        frames = transcode(iter(pairs), Coding(bits_per_pixel=bits))
        luma = noise @ np.array([0.299, 0.587, 0.114]) * 219 / 255 + 16
        return np.mean([np.abs(f.y - y).mean() for (f, _), y in zip(frames, luma, strict=True)])

    assert harm(0.05) > harm(8.0) + 3


def test_random_codings_are_within_their_ranges():
    rng = np.random.default_rng(0)
    drawn = [Coding.random(rng, gop=600) for _ in range(400)]
    assert all(c.gop == 600 and 0.03 <= c.bits_per_pixel <= 0.6 for c in drawn)
    assert 0.65 < np.mean([c.codec == "mpeg4" for c in drawn]) < 0.85
    assert {c.codec for c in drawn} == {"mpeg4", "h264"}
