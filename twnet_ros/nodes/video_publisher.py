#!/usr/bin/env python3
"""The video publisher: a file's packets, coded data unchanged, on a topic."""

import sys
import threading
import time
from collections.abc import Iterator, Sequence

import rclpy
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from twnet_ros.codec import CodecError, Packet, read_packets
from twnet_ros.msg import FrameStatus
from twnet_ros.nodes.context import spin, wait_until_down
from twnet_ros.nodes.parameter import Parameter, Parameters
from twnet_ros.nodes.topic import STATUS_QOS, stamp_ns

POLL_S = 0.05
TICK_S = 0.005  # the same for simulated time, which may run fast
BACK_NS = 1_000_000_000  # a clock that goes back by no more jitters
ANSWER_S = 5.0  # how long a status may take before the log says that it is missing

TABLE = (
    Parameter(
        "file", "", "Path of the video file to publish: H.264, MPEG-4 part 2, HEVC, VP9 or AV1."
    ),
    Parameter(
        "rate",
        0.0,
        "Packets a second, in the time of their pictures; 0 keeps the file's own timestamps.",
        range=(0.0, 1000.0),
    ),
    Parameter("loop", False, "Begin again at the end of the file, with stamps that go on."),
    Parameter("frame_id", "camera", "frame_id of every packet's header."),
    Parameter(
        "pace",
        "clock",
        "What the next packet waits for: its time by the clock, or the status of those before it.",
        choices=("clock", "status"),
    ),
    Parameter(
        "window",
        1,
        "With pace status: packets sent ahead of their status; a stream with n B-frames in a row "
        "needs n + 3, at most 19 for those of x264.",
        range=(1, STATUS_QOS.depth),  # what is answered at once must fit
    ),
    Parameter(
        "wait_for_subscriber", True, "Publish nothing until somebody subscribes to the video."
    ),
)


class VideoPublisher(Node):
    """Plays one file; ``play`` runs outside the executor, which only takes statuses in."""

    def __init__(self, parameter_overrides: Sequence[RosParameter] = ()) -> None:
        super().__init__("video_publisher", parameter_overrides=list(parameter_overrides))
        parameters = Parameters(self, TABLE)
        self._values = parameters.values()
        parameters.working = True
        self._unanswered: set[int] = set()  # stamps of packets without a status, nanoseconds
        self._answered = threading.Condition()
        if self._values["pace"] == "status":  # before the video, whose subscriber answers on it
            self.create_subscription(FrameStatus, "status", self._take_status, STATUS_QOS)
        if not self._values["file"]:
            raise CodecError("expected the parameter file to name a video file, got none")
        info, _ = read_packets(self._values["file"])
        self._codec = info.codec
        self._period_ns = round(1e9 / (self._values["rate"] or info.fps))
        self._publisher = self.create_publisher(CompressedImage, "video", QoSProfile(depth=100))

    def play(self) -> int:
        """Publish the whole file, or for ever with ``loop``, and return the number of packets."""
        self._wait_for_others()
        self._wait_for_clock()
        self._start_ns = self._read_ns = self._now_ns()
        count = 0
        for offset_ns, packet in self._timeline():
            if not self._wait(offset_ns):
                return count
            # What was due before a clock went back to 0, as B-frames are, still needs a stamp.
            due_ns = max(self._start_ns + offset_ns, 1)
            if self._values["pace"] == "status":
                with self._answered:
                    self._unanswered.add(due_ns)
            stamp = Time(nanoseconds=due_ns).to_msg()
            header = Header(stamp=stamp, frame_id=self._values["frame_id"])
            message = CompressedImage(header=header, format=self._codec)
            message.data.frombytes(packet.data)
            self._publisher.publish(message)
            count += 1
        self._wait_for_the_last()
        return count

    def _timeline(self) -> Iterator[tuple[int, Packet]]:
        """Every packet with its picture's time since the start, nanoseconds."""
        begin_ns, ranks = 0, self._ranks()
        while True:
            end_ns, first_ns = begin_ns, None
            _, packets = read_packets(self._values["file"])
            for number, packet in enumerate(packets):
                first_ns = packet.pts_ns if first_ns is None else first_ns
                offset_ns = begin_ns + packet.pts_ns - first_ns
                if ranks:
                    offset_ns = begin_ns + ranks[number] * self._period_ns
                end_ns = max(end_ns, offset_ns)
                yield offset_ns, packet
            if not self._values["loop"]:
                return
            begin_ns = end_ns + self._period_ns

    def _ranks(self) -> list[int]:
        """Return the place of each picture in the order they are shown, for a ``rate``."""
        if not self._values["rate"]:
            return []
        _, packets = read_packets(self._values["file"])
        times_ns = [packet.pts_ns for packet in packets]
        shown = sorted(range(len(times_ns)), key=times_ns.__getitem__)
        return sorted(range(len(shown)), key=shown.__getitem__)

    def _wait_for_others(self) -> None:
        video, status = self._publisher, self.resolve_topic_name("status")
        if self._values["wait_for_subscriber"] and not video.get_subscription_count():
            self.get_logger().info(f"waiting for a subscriber to {video.topic_name}")
            while self.context.ok() and not video.get_subscription_count():
                time.sleep(POLL_S)
        if self._values["pace"] == "status" and not self.count_publishers(status):
            self.get_logger().info(f"waiting for a publisher of {status}")
            while self.context.ok() and not self.count_publishers(status):
                time.sleep(POLL_S)

    def _wait_for_clock(self) -> None:
        """Wait for simulated time to begin: a stamp of 0 would be none."""
        if self.get_clock().ros_time_is_active and not self._now_ns():
            self.get_logger().info("waiting for /clock, as use_sim_time asks for")
            while self.context.ok() and not self._now_ns():
                time.sleep(POLL_S)

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _wait(self, offset_ns: int) -> bool:
        """Wait until a packet may go; False when the process is asked to end."""
        if self._values["pace"] == "clock":
            self._wait_for_time(offset_ns)
        else:
            with self._answered:
                since = time.monotonic()
                while self.context.ok() and len(self._unanswered) >= self._values["window"]:
                    self._answered.wait(POLL_S)
                    if time.monotonic() - since > ANSWER_S:
                        self._warn_of_unanswered("still")
                        since = time.monotonic()
        return bool(self.context.ok())

    def _wait_for_time(self, offset_ns: int) -> None:
        """Wait for a time since the start.

        rclpy's own sleep_until sleeps on through a signal to end, and where the clock goes back.
        """
        while self.context.ok() and (left_ns := offset_ns - self._elapsed_ns()) > 0:
            simulated = self.get_clock().ros_time_is_active
            time.sleep(TICK_S if simulated else min(left_ns / 1e9, POLL_S))

    def _elapsed_ns(self) -> int:
        """Return the time since the start, which goes back with the clock."""
        now_ns = self._now_ns()
        back_ns = self._read_ns - now_ns
        if back_ns > BACK_NS:  # a recording that begins again, or a clock that was set
            self._start_ns -= back_ns
            self._read_ns = now_ns
            self.get_logger().warning(
                f"the clock went back by {back_ns / 1e9:.3f} s, and so do the stamps"
            )
        self._read_ns = max(self._read_ns, now_ns)
        return self._read_ns - self._start_ns

    def _wait_for_the_last(self) -> None:
        if self._values["pace"] == "status":
            with self._answered:
                self._answered.wait_for(lambda: not self._unanswered, ANSWER_S)
                if self._unanswered:
                    self._warn_of_unanswered("at the end")
        self._publisher.wait_for_all_acked(Duration(seconds=ANSWER_S))

    def _warn_of_unanswered(self, when: str) -> None:
        self.get_logger().warning(
            f"{len(self._unanswered)} packets {when} without a status on "
            f"{self.resolve_topic_name('status')}"
        )

    def _take_status(self, status: FrameStatus) -> None:
        with self._answered:
            self._unanswered.discard(stamp_ns(status.header))
            self._answered.notify()


def main() -> int:
    """Play the file and end; an error in it or in a parameter gives exit code 1."""
    rclpy.init()
    try:
        node = VideoPublisher()
    except (ParameterException, CodecError) as error:
        get_logger("video_publisher").fatal(str(error))
        return 1
    executor, ending = SingleThreadedExecutor(), threading.Event()
    executor.add_node(node)
    spinner = threading.Thread(target=spin, args=(executor, ending))
    spinner.start()
    try:
        count = node.play()
        if rclpy.ok():  # else there is nobody left to say it to
            node.get_logger().info(f"published {count} packets")
    except CodecError as error:
        node.get_logger().fatal(str(error))
        return 1
    except rclpy_implementation.RCLError:
        if rclpy.ok():
            raise  # else it was asked to end between two calls
    except KeyboardInterrupt:
        wait_until_down()
    finally:
        ending.set()
        spinner.join()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
