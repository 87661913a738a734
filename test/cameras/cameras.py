"""Compare several cameras' nodes in one process with a process for each, and with one camera.

    python test/cameras/cameras.py --cameras 4 --rounds 5 --seconds 20

Each round starts the three by turns and keeps every camera of theirs waiting with packets of a
rendered street, so that the processor is the limit. The summary is the last line, as JSON; the
exit status tells whether several cameras in one process take less than 1.5 times the memory of
one, and label no fewer frames a second than a process for each. PSS shares out what several
processes map, RSS counts it in each. It needs the built workspace in the environment, and Linux.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import rclpy
from ament_index_python.packages import get_package_prefix
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from twnet_ros.codec import Packet, read_packets
from twnet_ros.msg import FrameStatus
from twnet_ros.nodes.topic import STATUS_QOS

NAMESPACE = "/twnet_cameras"
MEMORY, START_S = 1.5, 120.0
WARM_UP = 24  # labelled frames of each camera, for pools to fill
AHEAD = 8  # packets that a camera sends before the first of them is answered
CLIP = {"frames": 96, "size": "480x360", "seed": 1_000_003}
CODING = {"codec": "h264", "gop": 12, "fps": 17, "bitrate": "1.5M"}


class Camera:
    """Sends packets as fast as they are answered, and counts labels."""

    def __init__(self, node: Node, name: str, packets: list[Packet], codec: str) -> None:
        self.labels, self._unanswered = 0, 0
        self._node, self._codec = node, codec
        self._packets = itertools.cycle(packets)
        base = f"{NAMESPACE}/{name}"
        self._video = node.create_publisher(CompressedImage, f"{base}/video", QoSProfile(depth=30))
        node.create_subscription(Image, f"{base}/segment/labels", self._count, 30)
        node.create_subscription(FrameStatus, f"{base}/segment/status", self._go_on, STATUS_QOS)

    @property
    def connected(self) -> bool:
        """Whether its node listens and is listened to."""
        name = self._video.topic_name.replace("/video", "/segment/labels")
        return bool(self._video.get_subscription_count() and self._node.count_publishers(name))

    def begin(self) -> None:
        """Send the first packets; what follows is sent as they are answered."""
        for _ in range(AHEAD):
            self._send()

    def _send(self) -> None:
        header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id="camera")
        message = CompressedImage(header=header, format=self._codec)
        message.data.frombytes(next(self._packets).data)
        self._video.publish(message)

    def _count(self, message: Image) -> None:
        self.labels += 1

    def _go_on(self, status: FrameStatus) -> None:
        self._send()


def main() -> int:
    """Run the command."""
    made = argparse.ArgumentParser(description=__doc__.split("\n\n")[0].strip())
    made.add_argument("--cameras", type=int, default=4)
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    made.add_argument("--model", default="camvid-mobilenetv1-layer1")
    options = made.parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")  # no robot's business
    names = [f"camera{number}" for number in range(options.cameras)]
    arrangements = {"one": names[:1], "together": names, "apart": names}
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        clip = render(Path(folder))
        for number in range(options.rounds):
            order = list(arrangements)[:: -1 if number % 2 else 1]
            rounds.append({one: measure(clip, one, arrangements[one], options) for one in order})
            print(json.dumps(rounds[-1]), flush=True)
    summary = summarise(rounds)
    print(json.dumps(summary))
    return int(not summary["held"])


def render(folder: Path) -> Path:
    """Return a clip of a rendered street; what renders it is gone when memory is measured."""
    clip = folder / "street.mp4"
    twnet("streets", folder, **CLIP)
    twnet("encode", folder / "frames", clip, **CODING)
    return clip


def twnet(command: str, *paths: Path, **options: object) -> None:
    """Run a sub-command of ours."""
    given = [f"--{name}={value}" for name, value in options.items()]
    line = [sys.executable, "-m", "twnet_ros.cli", command, *map(str, paths), *given]
    subprocess.run(line, check=True)


def measure(
    clip: Path, arrangement: str, names: list[str], options: argparse.Namespace
) -> dict[str, float]:
    """Return an arrangement's memory in MB, labelled frames a second, and CPU time of each."""
    rclpy.init()
    node = Node("cameras_of_the_test")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    info, packets = read_packets(clip)
    packets = list(packets)
    cameras = [Camera(node, name, packets, info.codec) for name in names]
    with running(arrangement, names, options.model) as processes:

        def spin_until(condition: Callable[[], bool], limit_s: float) -> float:
            """Return the seconds that it took."""
            started = time.monotonic()
            while not condition():
                if any(one.poll() is not None for one in processes):
                    sys.exit("the nodes were expected to run; what they said stands above")
                if time.monotonic() - started > limit_s:
                    sys.exit(f"the nodes were expected to answer within {limit_s:.0f} s")
                executor.spin_once(timeout_sec=0.1)
            return time.monotonic() - started

        spin_until(lambda: all(one.connected for one in cameras), START_S)
        for one in cameras:
            one.begin()
        spin_until(lambda: all(one.labels >= WARM_UP for one in cameras), START_S)
        labels, cpu = sum(one.labels for one in cameras), cpu_s(processes)
        end = time.monotonic() + options.seconds
        took_s = spin_until(lambda: time.monotonic() >= end, START_S + options.seconds)
        labels = sum(one.labels for one in cameras) - labels
        found = {
            **memory_mb(processes),
            "fps": labels / took_s,
            "cpu_ms": 1e3 * (cpu_s(processes) - cpu) / labels,
        }
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    return {name: round(value, 2) for name, value in found.items()}


@contextmanager
def running(
    arrangement: str, names: list[str], model: str
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run a node for each camera: all of them in one process, or one in each."""
    program = Path(get_package_prefix("twnet_ros")) / "lib/twnet_ros"
    # The interpreter by name: its process is the one to measure, not one that a script starts.
    settings = ["-p", f"model:={model}", "-p", "skip:=false", "-p", "queue_size:=100"]
    settings += ["-p", "device:=cpu", "-p", "precision:=fp32", "-p", "key_policy:=codec"]
    if arrangement == "together":
        inputs = [part for name in names for part in ("-p", f"input.{name}:=video")]
        commands = [["segment_cameras", "--ros-args", "-r", f"__ns:={NAMESPACE}", *inputs]]
    else:
        commands = [
            ["segment_node", "--ros-args", "-r", f"__ns:={NAMESPACE}/{name}"] for name in names
        ]
    processes = [
        subprocess.Popen([sys.executable, str(program / command[0]), *command[1:], *settings])
        for command in commands
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def memory_mb(processes: list[subprocess.Popen[bytes]]) -> dict[str, float]:
    """Return the resident memory, each process's whole (rss) and its share of it (pss)."""
    found = {"rss": 0.0, "pss": 0.0}
    for process in processes:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, size_kib = line.split()[:2]
            if (name := name.rstrip(":").lower()) in found:
                found[name] += int(size_kib) * 1024 / 1e6
    return found


def cpu_s(processes: list[subprocess.Popen[bytes]]) -> float:
    """Return the processor time that processes have taken so far."""
    stats = [Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2] for one in processes]
    ticks = sum(int(ticks) for stat in stats for ticks in stat.split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def summarise(rounds: list[dict[str, dict[str, float]]]) -> dict[str, object]:
    """Return the medians, and what several cameras in one process are of the others."""

    def ratio(name: str, other: str) -> float:
        return median(one["together"][name] / one[other][name] for one in rounds)

    medians = {
        arrangement: {
            name: round(median(r[arrangement][name] for r in rounds), 1) for name in found
        }
        for arrangement, found in rounds[0].items()
    }
    rss, pss, fps = ratio("rss", "one"), ratio("pss", "one"), ratio("fps", "apart")
    return {
        **medians,
        "rss_of_one": round(rss, 3),
        "pss_of_one": round(pss, 3),
        "fps_of_apart": round(fps, 3),
        "cpu_of_apart": round(ratio("cpu_ms", "apart"), 3),
        "held": max(rss, pss) < MEMORY and fps >= 1,
    }


if __name__ == "__main__":
    sys.exit(main())
