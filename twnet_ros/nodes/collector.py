"""Running publisher and segment node as processes and collecting what comes back."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import rclpy
from ament_index_python.packages import get_package_prefix
from cv_bridge import CvBridge
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image

from twnet_ros.msg import FrameStatus
from twnet_ros.nodes.conversion import Labels
from twnet_ros.nodes.topic import STATUS_QOS, stamp_ns

LABELS_DEPTH = 100  # images that writing the results may be behind
START_S = 180.0  # how long the node may take to load its model
LAST_LABELS_S = 10.0  # how long labels may come after their status
STOP_S = 10.0  # how long a node may take to end


@dataclass
class Collection:
    """What the segment node published, in order of arrival."""

    statuses: list[FrameStatus] = field(default_factory=list)
    labelled: list[int] = field(default_factory=list)  # stamps of label images, nanoseconds
    first_s: float = 0.0  # time.monotonic() of the first status
    last_s: float = 0.0  # and of the last

    @property
    def announced(self) -> int:
        """How many frames were labelled, by their statuses."""
        return sum(status.path != FrameStatus.PATH_NONE for status in self.statuses)


class Collector(Node):
    """Subscribes to labels and status."""

    def __init__(self, segment: str, take_labels: Callable[[int, Labels], None]) -> None:
        """Listen to the segment node of that name, its namespace included."""
        super().__init__("collector")
        self.collection = Collection()
        self._take_labels, self._bridge = take_labels, CvBridge()
        self.create_subscription(Image, f"{segment}/labels", self._labels, LABELS_DEPTH)
        self.create_subscription(FrameStatus, f"{segment}/status", self._status, STATUS_QOS)

    def _labels(self, message: Image) -> None:
        self._take_labels(
            len(self.collection.labelled), self._bridge.imgmsg_to_cv2(message, "mono8")
        )
        self.collection.labelled.append(stamp_ns(message.header))

    def _status(self, message: FrameStatus) -> None:
        self.collection.last_s = time.monotonic()
        self.collection.first_s = self.collection.first_s or self.collection.last_s
        self.collection.statuses.append(message)

    @property
    def complete(self) -> bool:
        """Whether every status that announces labels has them."""
        return len(self.collection.labelled) >= self.collection.announced


def stream(
    clip: Path,
    model: str,
    window: int,
    take_labels: Callable[[int, Labels], None],
    rate: float | None = None,
    settings: Mapping[str, object] = MappingProxyType({}),
) -> Collection:
    """Send a video file through a segment node in a process of its own.

    The publisher keeps ``window`` packets unanswered: 1 for the shortest latency, more where
    B-frames wait for each other; or it sends ``rate`` packets a second. ``take_labels`` is called
    with the number of each label image and its train ids (H, W); ``settings`` are further
    parameters of the segment node. ChildProcessError where a node ends or does not start.
    """
    namespace = f"/twnet_demo_{uuid.uuid4().hex}"  # another one on this machine is another stream
    segment = f"{namespace}/segment"
    depth = {f"qos_overrides.{segment}/labels.publisher.depth": LABELS_DEPTH}
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")  # no robot's business
    rclpy.init()
    with ExitStack() as stack:
        stack.callback(rclpy.try_shutdown)
        node = Collector(segment, take_labels)
        stack.callback(node.destroy_node)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        stack.callback(executor.shutdown)
        segmenting = stack.enter_context(
            # Sent as fast as it is answered: nothing is late, and every frame is wanted.
            _running(
                namespace,
                "segment_node",
                "segment.yaml",
                model=model,
                skip=False,
                **depth,
                **settings,
            )
        )
        until = time.monotonic() + START_S
        while not node.count_publishers(f"{segment}/labels"):
            _alive(segmenting)
            if time.monotonic() > until:
                raise ChildProcessError(
                    f"the segment node was expected to start within {START_S:.0f} s; "
                    "what it said stands above"
                )
            executor.spin_once(timeout_sec=0.1)
        playing: dict[str, object] = {"file": clip, "pace": "status", "window": window}
        if rate is not None:
            playing = {"file": clip, "pace": "clock", "rate": float(rate)}
        publishing = stack.enter_context(
            _running(namespace, "video_publisher", "video_publisher.yaml", **playing)
        )
        while publishing.poll() is None:
            _alive(segmenting)
            executor.spin_once(timeout_sec=0.1)
        if publishing.returncode:
            raise ChildProcessError(f"the video publisher ended with {publishing.returncode}")
        until = time.monotonic() + LAST_LABELS_S
        while not node.complete and time.monotonic() < until:
            executor.spin_once(timeout_sec=0.1)
        return node.collection


@contextmanager
def _running(
    namespace: str, program: str, config: str, **settings: object
) -> Iterator[subprocess.Popen[bytes]]:
    """Start one of the package's nodes; at the end ask it to stop, and wait for it."""
    prefix = Path(get_package_prefix("twnet_ros"))
    command = [str(prefix / "lib" / "twnet_ros" / program), "--ros-args"]
    command += ["--params-file", str(prefix / "share" / "twnet_ros" / "config" / config)]
    command += ["-r", f"__ns:={namespace}", "-r", "status:=segment/status"]
    for name, value in settings.items():
        if isinstance(value, (str, Path)):  # a file's name may mean something in YAML
            value = json.dumps(str(value), ensure_ascii=False)
        command += ["-p", f"{name}:={value}"]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _alive(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        raise ChildProcessError(f"the segment node ended with {process.returncode}")
