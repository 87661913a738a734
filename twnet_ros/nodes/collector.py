"""Running publisher and segment node as processes and collecting what comes back."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rclpy
from ament_index_python.packages import get_package_prefix
from cv_bridge import CvBridge
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image

from twnet_ros.msg import FrameStatus
from twnet_ros.nodes.topic import STATUS_QOS, stamp_ns

VIDEO = "/camera/image/compressed"
LAST_LABELS_S = 10.0  # how long labels may come after their status


class StreamError(RuntimeError):
    """A node process that ended before the stream did."""


@dataclass
class Collection:
    """What the segment node published, in order of arrival."""

    statuses: list[FrameStatus] = field(default_factory=list)
    labelled: list[int] = field(default_factory=list)  # stamps of label images, nanoseconds
    seconds: float = 0.0  # from the first status to the last


class Collector(Node):
    """Subscribes to labels and status."""

    def __init__(self, take_labels: Callable[[int, NDArray[np.uint8]], None]) -> None:
        super().__init__("collector")
        self.collection = Collection()
        self._take_labels, self._bridge = take_labels, CvBridge()
        self.create_subscription(Image, "/segment/labels", self._labels, 100)
        self.create_subscription(FrameStatus, "/segment/status", self._status, STATUS_QOS)

    def _labels(self, message: Image) -> None:
        self._take_labels(
            len(self.collection.labelled), self._bridge.imgmsg_to_cv2(message, "mono8")
        )
        self.collection.labelled.append(stamp_ns(message.header))

    def _status(self, message: FrameStatus) -> None:
        self.collection.statuses.append(message)

    @property
    def complete(self) -> bool:
        """Whether every status that announces labels has them."""
        announced = sum(s.path != FrameStatus.PATH_NONE for s in self.collection.statuses)
        return len(self.collection.labelled) >= announced


def stream(
    clip: Path,
    model: str,
    config: Path,
    window: int,
    take_labels: Callable[[int, NDArray[np.uint8]], None],
) -> Collection:
    """Send a video file through a segment node in a process of its own.

    The publisher keeps ``window`` packets unanswered: 1 for the shortest latency, more where
    B-frames wait for each other. ``take_labels`` is called with the number of each label image
    and its train ids (H, W).
    """
    programs = Path(get_package_prefix("twnet_ros")) / "lib" / "twnet_ros"
    segment: list[str | Path] = [programs / "segment_node", "--ros-args"]
    segment += ["--params-file", config / "segment.yaml"]
    segment += ["-p", f"model:={model}", "-r", f"video:={VIDEO}"]
    publish: list[str | Path] = [
        programs / "video_publisher",
        "--ros-args",
        "-r",
        f"video:={VIDEO}",
    ]
    publish += ["--params-file", config / "video_publisher.yaml", "-r", "status:=/segment/status"]
    publish += ["-p", f"file:={clip}", "-p", "pace:=status", "-p", f"window:={window}"]
    rclpy.init()
    with ExitStack() as stack:
        stack.callback(rclpy.try_shutdown)
        node = Collector(take_labels)
        stack.callback(node.destroy_node)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        stack.callback(executor.shutdown)
        segmenting = stack.enter_context(_running(segment))
        while not node.count_publishers("/segment/labels"):
            _alive(segmenting)
            executor.spin_once(timeout_sec=0.1)
        publishing = stack.enter_context(_running(publish))
        first = None
        while publishing.poll() is None:
            _alive(segmenting)
            executor.spin_once(timeout_sec=0.1)
            first = first or (time.monotonic() if node.collection.statuses else None)
        if publishing.returncode:
            raise StreamError(f"the video publisher ended with {publishing.returncode}")
        node.collection.seconds = time.monotonic() - (first or time.monotonic())
        until = time.monotonic() + LAST_LABELS_S
        while not node.complete and time.monotonic() < until:
            executor.spin_once(timeout_sec=0.1)
        return node.collection


@contextmanager
def _running(command: list[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process; at the end ask it to stop, and wait for it."""
    process = subprocess.Popen([str(part) for part in command])
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()


def _alive(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        raise StreamError(f"the segment node ended with {process.returncode}")
