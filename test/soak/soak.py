"""Send a looped video with losses through a segment node for a long time, and watch it.

    python test/soak/soak.py --minutes 30 --rate 8 --loss 0.01

Which frames have labels follows from what was lost: a frame whose references all arrived is
labelled, or skipped to keep within max_latency_ms; any other waits for the next key frame. The
summary is the last line, as JSON, and the exit status tells whether everything held. It needs the
built workspace in the environment, and Linux.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from ament_index_python.packages import get_package_prefix
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from twnet_ros.codec import Packet, read_packets, write_clip
from twnet_ros.learn.streets import write_street
from twnet_ros.msg import FrameStatus
from twnet_ros.nodes.pipeline import NOBODY, SKIPPED
from twnet_ros.nodes.topic import STATUS_QOS, stamp_ns
from twnet_ros.segment.picture import read_rgb

NAMESPACE = "/twnet_soak"
SETTLED_MINUTE = 2  # the last of them: pools have filled, what the memory is held against
SAMPLE_S = 1.0  # from look to look at the memory, which breathes with every step
GROWTH = 0.02
START_S = 120.0
LAST_S = 60.0  # how long the last statuses may take; only what fails waits for it
FRAMES, SIZE, FPS, GOP, BITRATE = 96, (1280, 720), 17.0, 12, 4_000_000  # of the rendered clip
SEED = 1_000_003


@dataclass
class Sent:
    """One packet that was published, and what came back."""

    whole: bool  # this one and all that it refers to arrived
    key: bool
    status: FrameStatus | None = None
    labelled: bool = False


class Soak(Node):
    """Publishes with losses and keeps the answers by their stamps."""

    def __init__(self, loss: float, seed: int) -> None:
        super().__init__("soak", namespace=NAMESPACE)
        self.sent: dict[int, Sent] = {}  # by stamp, nanoseconds
        self.lost = 0
        self._loss, self._random = loss, random.Random(seed)
        self._whole = False  # the chain of what was sent
        self._video = self.create_publisher(CompressedImage, "video", QoSProfile(depth=30))
        self.create_subscription(Image, "segment/labels", self._take_labels, 30)
        self.create_subscription(FrameStatus, "segment/status", self._take_status, STATUS_QOS)

    @property
    def connected(self) -> bool:
        """Whether the node listens and is listened to."""
        listens = self._video.get_subscription_count()
        return bool(listens and self.count_publishers("segment/labels"))

    @property
    def answered(self) -> bool:
        """Whether every packet has its status, and every status that announces labels has them."""
        return all(
            one.status and (one.labelled or one.status.path == FrameStatus.PATH_NONE)
            for one in self.sent.values()
        )

    def send(self, packet: Packet, codec: str) -> None:
        """Publish one packet, or lose it."""
        if self._random.random() < self._loss:
            self.lost += 1
            self._whole = False
            return
        self._whole = self._whole or packet.key
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id="camera")
        self.sent[stamp_ns(header)] = Sent(self._whole, packet.key)
        message = CompressedImage(header=header, format=codec)
        message.data.frombytes(packet.data)
        self._video.publish(message)

    def _take_labels(self, message: Image) -> None:
        self.sent[stamp_ns(message.header)].labelled = True

    def _take_status(self, status: FrameStatus) -> None:
        self.sent[stamp_ns(status.header)].status = status


def main() -> int:
    """Run the command."""
    made = argparse.ArgumentParser(description=__doc__.split("\n\n")[0].strip())
    made.add_argument("clip", type=Path, nargs="?", help="a rendered street of 1280x720 without")
    made.add_argument("--minutes", type=float, default=30.0)
    made.add_argument("--rate", type=float, default=8.0, help="packets a second")
    made.add_argument("--loss", type=float, default=0.01, help="probability of each packet's loss")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--model", default="streets-mobilenetv1-layer1")
    options = made.parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")  # no robot's business
    # Label images of this size do not fit the middleware's own shared memory.
    profile = Path(get_package_prefix("twnet_ros")) / "share/twnet_ros/config/fastdds.xml"
    fast = "FASTRTPS" if os.environ.get("ROS_DISTRO") == "jazzy" else "FASTDDS"
    os.environ.setdefault(f"{fast}_DEFAULT_PROFILES_FILE", str(profile))
    rclpy.init()
    soak = Soak(options.loss, options.seed)
    executor = SingleThreadedExecutor()
    executor.add_node(soak)
    with tempfile.TemporaryDirectory() as folder, running(options.model) as process:
        clip = options.clip or render(Path(folder))
        started = time.monotonic()
        while not soak.connected:
            if process.poll() is not None or time.monotonic() - started > START_S:
                sys.exit("the segment node was expected to start; what it said stands above")
            executor.spin_once(timeout_sec=0.1)
        codec = read_packets(clip)[0].codec
        samples_mb: list[float] = []
        started = time.monotonic()
        for number, packet in enumerate(again_and_again(clip)):
            due_s = number / options.rate
            while (left_s := started + due_s - time.monotonic()) > 0:
                executor.spin_once(timeout_sec=left_s)
            if due_s >= SAMPLE_S * len(samples_mb):
                samples_mb.append(rss(process))
            if due_s >= 60 * options.minutes:
                break
            soak.send(packet, codec)
        until_s = time.monotonic() + LAST_S
        while not soak.answered and time.monotonic() < until_s:
            executor.spin_once(timeout_sec=0.1)
    summary = summarise(soak, by_minute(samples_mb))
    print(json.dumps(summary))
    rclpy.try_shutdown()
    return int(not summary["held"])


def render(folder: Path) -> Path:
    """Return a clip of a rendered street."""
    write_street(folder, FRAMES, *SIZE, SEED)
    frames = (read_rgb(path) for path in sorted((folder / "frames").glob("*.png")))
    clip = folder / "street.mp4"
    write_clip(clip, frames, codec="h264", gop=GOP, fps=FPS, bitrate=BITRATE)
    return clip


def again_and_again(clip: Path) -> Iterator[Packet]:
    """Yield a clip's packets for ever."""
    packets = list(read_packets(clip)[1])
    while True:
        yield from packets


@contextmanager
def running(model: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the installed segment node with its shipped parameters."""
    prefix = Path(get_package_prefix("twnet_ros"))
    # The interpreter by name: its process is the one to measure, not one that a script starts.
    command = [sys.executable, str(prefix / "lib" / "twnet_ros" / "segment_node"), "--ros-args"]
    command += ["--params-file", str(prefix / "share" / "twnet_ros" / "config" / "segment.yaml")]
    command += ["-r", f"__ns:={NAMESPACE}", "-p", f"model:={model}"]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def rss(process: subprocess.Popen[bytes]) -> float:
    """Return a process's resident memory in MB."""
    (line,) = (
        line
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )
    return int(line.split()[1]) * 1024 / 1e6


def by_minute(samples_mb: list[float]) -> list[float]:
    """Return the median of each minute, the last of which may not be whole."""
    count = round(60 / SAMPLE_S)
    minutes = [samples_mb[i : i + count] for i in range(0, len(samples_mb), count)]
    return [float(np.median(minute)) for minute in minutes]


def summarise(soak: Soak, rss_mb: list[float]) -> dict[str, object]:
    """Return what happened, and whether it should have; ``rss_mb`` is by minute."""
    every = list(soak.sent.values())
    # The video may find the node before the node finds who takes its labels.
    begin = next((n for n, one in enumerate(every) if not _is_unseen(one)), len(every))
    sent = every[begin:]
    labelled = [one for one in sent if one.labelled]
    announced = [one for one in sent if one.status and one.status.path != FrameStatus.PATH_NONE]
    late = [one for one in sent if one.whole and one.status and one.status.reason == SKIPPED]
    missed = [one for one in sent if one.whole and one not in announced and one not in late]
    wrong = [one for one in announced if not one.whole]
    undelivered = sum(not one.labelled for one in announced)
    total_ms = [one.status.total_ms for one in labelled if one.status]
    summary: dict[str, object] = {
        "packets": len(every) + soak.lost,
        "lost": soak.lost,
        "unseen": begin,
        "labelled": len(labelled),
        "withheld": sum(not one.whole for one in sent) - len(wrong),
        "skipped": len(late),
        "missed": [one.status.reason if one.status else "no status" for one in missed],
        "wrong": len(wrong),
        "undelivered": undelivered,
        "unanswered": sum(one.status is None for one in sent),
        "rss_mb": [round(one, 1) for one in rss_mb],
    }
    if total_ms:
        p50, p99 = np.percentile(total_ms, [50, 99])
        summary["latency_ms"] = {"p50": round(p50), "p99": round(p99), "max": round(max(total_ms))}
    growth = rss_mb[-1] / rss_mb[min(SETTLED_MINUTE, len(rss_mb)) - 1] - 1
    summary["growth"] = round(growth, 4)
    faults = len(missed) + len(wrong) + undelivered + int(not soak.answered)
    summary["held"] = bool(labelled) and not faults and abs(growth) <= GROWTH
    return summary


def _is_unseen(one: Sent) -> bool:
    return one.status is not None and one.status.reason == NOBODY


if __name__ == "__main__":
    sys.exit(main())
