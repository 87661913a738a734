"""The lifecycle, over and over: what is made is given back, and nothing of before comes out."""

import gc
import threading
from collections import Counter
from pathlib import Path

import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from twnet_ros.nodes.segment_node import SegmentNode

SUCCESS = TransitionCallbackReturn.SUCCESS
CYCLES = 50
PAGE = 4096


@pytest.fixture
def segment(ros, checkpoint):
    """A segment node with a real network, unconfigured."""
    values = {"autostart": False, "model": str(checkpoint), "skip": False}
    values |= {"device": "cpu", "precision": "fp32"}  # which auto would measure anew each time
    given = [Parameter(name, value=value) for name, value in values.items()]
    return ros.add(SegmentNode(parameter_overrides=given))


def what_there_is():
    """Every object of ours and of rclpy that is alive, and every tensor, by type.

    Messages that were kept and tasks that the executor has not swept yet do not count.
    """
    gc.collect()
    kinds = Counter(f"{type(o).__module__}.{type(o).__name__}" for o in gc.get_objects())
    ours = ("twnet_ros.", "rclpy.", "torch.")
    passing = ("twnet_ros.msg.", "rclpy.task.")
    return {k: n for k, n in kinds.items() if k.startswith(ours) and not k.startswith(passing)}


def resident_bytes():
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


def test_fifty_cycles_leave_nothing_behind(ros, segment, published, camera_of, mpeg4_packets):
    camera = camera_of("labels", "masks")
    labels, status = camera.received["labels"], camera.received["status"]
    seen = {}
    for cycle in range(1, CYCLES + 1):
        assert segment.trigger_configure() == SUCCESS
        assert segment.trigger_activate() == SUCCESS
        ros.spin_until(camera.video.get_subscription_count)
        ros.spin_until(published("labels").get_subscription_count)
        # The P-frame goes on with the cycle before, of which nothing may be left.
        for number in (1, 0, 1):
            camera.send(mpeg4_packets[number].data, cycle)
        ros.spin_until(lambda n=cycle: len(status) == 3 * n and len(labels) == 2 * n)
        assert [message.path for message in status[-3:]] == [0, 1, 2]
        assert "key frame" in status[-3].reason
        assert segment.trigger_deactivate() == SUCCESS
        assert not {"decode", "segment"} & {thread.name for thread in threading.enumerate()}
        ros.spin_until(lambda: not camera.video.get_subscription_count())
        camera.send(mpeg4_packets[0].data, cycle)  # nobody listens
        assert segment.trigger_cleanup() == SUCCESS
        labels_now, status_now = len(labels), len(status)
        if cycle in (10, CYCLES):
            seen[cycle] = what_there_is(), resident_bytes()
    assert (len(labels), len(status)) == (labels_now, status_now) == (2 * CYCLES, 3 * CYCLES)
    (before, bytes_before), (after, bytes_after) = seen[10], seen[CYCLES]
    assert after == before
    # Freed memory stays with the process, in pieces that do not always fit again: it settles. A
    # network that is not given back would be 25 MB a cycle.
    assert bytes_after - bytes_before < 256 << 20
