"""Publisher and segment node, each killed (kill -9) and started again: back within one GOP.

TWNET_KILLS says how often each of the two is killed, by turns; twice where it is not set.
"""

import contextlib
import os
import re
from pathlib import Path

import pytest
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image

from twnet_ros.msg import FrameStatus
from twnet_ros.nodes.pipeline import NOBODY
from twnet_ros.nodes.topic import stamp_ns

KILLS = int(os.environ.get("TWNET_KILLS", "2"))
GOP = 6  # of the clip
DEVICE = {"device": "cpu", "precision": "fp32"}
NODES = ("segment_node", "video_publisher")


class Listener(Node):
    """Keeps the stamps of labels, and the statuses with their number since their node's start."""

    def __init__(self):
        super().__init__("listener")
        self.labels, self.statuses = [], []
        qos = QoSProfile(depth=1000, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(Image, "segment/labels", self._labels, QoSProfile(depth=100))
        self.create_subscription(FrameStatus, "segment/status", self._status, qos)

    def _labels(self, message):
        self.labels.append(stamp_ns(message.header))

    def _status(self, message, info):
        self.statuses.append((message, info["publication_sequence_number"]))

    def since(self, began):
        """Split the statuses from the first of a start on at the first that announces labels."""
        first = next((i for i, one in enumerate(self.statuses) if began(*one)), None)
        statuses = [] if first is None else [status for status, _ in self.statuses[first:]]
        labelled = [s.path != FrameStatus.PATH_NONE for s in statuses]
        count = labelled.index(True) if any(labelled) else len(statuses)
        return statuses[:count], statuses[count:]


def segments_of(pid):
    """Find the files of the shared memory that a process owns: it holds a lock beside each.

    Those of ports are left out: they are numbered, and who comes next takes the number again.
    """
    files = set()
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(FileNotFoundError):  # closed since
            lock = descriptor.readlink()
            if re.fullmatch(r"/dev/shm/fastdds_[0-9a-f]{16}_el", str(lock)):
                files |= {lock, Path(str(lock).removesuffix("_el"))}
    return files


def test_labels_come_back_within_one_gop_of_a_kill(ros, run, checkpoint, mpeg4_packets, tmp_path):
    clip = tmp_path / "clip.m4v"
    clip.write_bytes(b"".join(packet.data for packet in mpeg4_packets))
    settings = {
        # Every frame is labelled, however late: what is counted does not hang on the machine.
        "segment_node": {"model": checkpoint, "skip": False, "queue_size": 1000, **DEVICE},
        "video_publisher": {"file": clip, "loop": True, "rate": 10.0},
    }

    def start(name, number):
        more = {"frame_id": f"start_{number}"} if name == "video_publisher" else {}
        return run(name, **settings[name], **more)

    listener = ros.add(Listener())
    processes = {name: start(name, 0) for name in NODES}
    ros.spin_until(lambda: listener.labels)
    left = set()
    for number in range(1, 2 * KILLS + 1):
        name = NODES[number % 2]
        enough = len(listener.labels) + number % GOP  # not always after the same frame
        ros.spin_until(lambda enough=enough: len(listener.labels) >= enough)
        left |= segments_of(processes[name].pid)
        processes[name].kill()
        processes[name].wait()
        listener.statuses.clear()
        processes[name] = start(name, number)

        def began(status, count, name=name, number=number):
            # Statuses of the node that was killed, or of packets of the publisher that was, may
            # still be under way.
            if name == "segment_node":
                return count == 1
            return status.header.frame_id == f"start_{number}"

        ros.spin_until(lambda began=began: listener.since(began)[1])
        before, after = listener.since(began)
        # Nobody's fault: the video has found the node before the node has found the listener.
        before = [status for status in before if status.reason != NOBODY]
        assert len(before) < GOP, [status.reason for status in before]
        stamp = stamp_ns(after[0].header)
        ros.spin_until(lambda stamp=stamp: stamp in listener.labels)

    if not segments_of(os.getpid()):
        pytest.skip("the labels came back; the middleware has nothing in /dev/shm to look at")
    assert len(left) >= 2 * len(NODES) * KILLS  # one and its lock of every process
    ros.spin_until(lambda: not any(file.exists() for file in left))
