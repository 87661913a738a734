"""What the node adds: from statuses, and from a node that runs."""

import math

import numpy as np
import pytest

from twnet_ros.codec import write_clip
from twnet_ros.msg import FrameStatus
from twnet_ros.nodes.overhead import WARM_UP, node_overhead, overhead


def status(total_ms, path=FrameStatus.PATH_NONKEY):
    return FrameStatus(path=path, decode_ms=2.0, inference_ms=30.0, total_ms=total_ms)


def test_overhead_is_what_is_neither_decoding_nor_inference():
    found = overhead([status(33.0), status(35.0), status(37.0)])
    assert found["median"] == 3.0
    assert 3.0 < found["p95"] <= 5.0
    assert found["frames"] == 3


def test_packets_without_labels_do_not_count():
    found = overhead([status(900.0, FrameStatus.PATH_NONE), status(33.0)])
    assert (found["median"], found["frames"]) == (1.0, 1)
    with pytest.raises(ValueError, match="expected labels from the segment node, got none"):
        overhead([status(900.0, FrameStatus.PATH_NONE)])


@pytest.fixture
def clip(tmp_path):
    """Ten frames of a camera that pans."""
    small = np.random.default_rng(0).integers(0, 255, (6, 14, 3), np.uint8)
    world = small.repeat(8, 0).repeat(8, 1)
    path = tmp_path / "clip.avi"
    write_clip(path, (world[:, 2 * i : 2 * i + 64] for i in range(10)), codec="mpeg4", gop=5)
    return path


def test_a_running_node(clip, checkpoint):
    found = node_overhead(clip, checkpoint, 20.0, "cpu", "fp32")
    assert (found["frames"], found["rate_hz"]) == (10 - WARM_UP, 20.0)
    assert 0 < found["median"] <= found["p95"] < math.inf


def test_b_frames_are_refused(tmp_path, reordered_packets, checkpoint):
    path = tmp_path / "reordered.h264"
    path.write_bytes(b"".join(data for _, data in reordered_packets))
    with pytest.raises(ValueError, match=r"reordered\.h264: expected a video without B-frames"):
        node_overhead(path, checkpoint, 20.0, "cpu", "fp32")
