"""A coded frame checks its shapes once, where it is born."""

import dataclasses

import numpy as np
import pytest

from twnet_ros.codec import CodedFrame, FrameKind
from twnet_ros.codec.motion import fill_blocks


@pytest.fixture
def frame():
    return CodedFrame(
        index=0,
        pts=None,
        kind=FrameKind.P,
        y=np.zeros((20, 30), np.uint8),
        u=np.zeros((10, 15), np.uint8),
        v=np.zeros((10, 15), np.uint8),
        color_matrix="bt601",
        full_range=False,
        motion=fill_blocks(None, 20, 30),
        fault="",
        follows=True,
        decode_ms=0.0,
    )


def test_size_is_that_of_the_luma(frame):
    assert (frame.height, frame.width) == (20, 30)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"y": np.zeros((20, 30, 1), np.uint8)}, r"\(20, 30, 1\)"),
        ({"y": np.zeros((20, 30), np.float32)}, "plane y.*float32"),
        ({"u": np.zeros((20, 30), np.uint8)}, r"plane u \(10, 15\).*got \(20, 30\)"),
        ({"v": np.zeros((10, 14), np.uint8)}, r"plane v \(10, 15\).*got \(10, 14\)"),
        ({"motion": fill_blocks(None, 20, 34)}, r"\(3, 4\) blocks.*got \(3, 5\)"),
        ({"kind": FrameKind.I}, "expected no motion of I frames"),
    ],
)
def test_what_does_not_fit_is_refused(frame, changes, expected):
    with pytest.raises(ValueError, match=expected):
        dataclasses.replace(frame, **changes)


def test_what_follows_from_the_rest(frame):
    assert frame.intact and not frame.key
    broken = dataclasses.replace(frame, kind=FrameKind.I, motion=None, fault="a packet is lost")
    assert broken.key and not broken.intact


@pytest.mark.parametrize("kind", [FrameKind.P, FrameKind.B])
def test_any_frame_may_come_without_motion(frame, kind):
    assert dataclasses.replace(frame, kind=kind, motion=None).motion is None
