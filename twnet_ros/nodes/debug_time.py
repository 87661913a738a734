"""How long each labelled frame took, on the topics that Autoware's perception nodes have."""

import math

from rclpy.node import Node

from twnet_ros.msg import FrameStatus
from twnet_ros.nodes.message import load_message
from twnet_ros.nodes.ticket import Ticket

PACKAGE = "autoware_internal_debug_msgs"
TIMES = (  # in ms, below ~/debug
    "processing_time_ms",
    "cyclic_time_ms",
    "pipeline_latency_ms",
    "processing_time/preprocess_ms",
    "processing_time/inference_ms",
    "processing_time/postprocess_ms",
)


class DebugTimes:
    """Publishes the times of labelled frames, to those who listen, until it is closed.

    ``pipeline_latency_ms`` counts from the header's stamp, ``cyclic_time_ms`` from the labelled
    frame before; without either there is none. The message is Float64Stamped of PACKAGE; where
    that is not installed, there are no such topics.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._labelled_s: float | None = None  # when the frame before was, time.monotonic()
        try:
            self._message = load_message(PACKAGE, "Float64Stamped")
        except ImportError as error:
            node.get_logger().debug(f"no topics ~/debug/…: {error}")
            self._publishers = {}
            return
        self._publishers = {
            name: node.create_publisher(self._message, f"~/debug/{name}", 1) for name in TIMES
        }

    def publish(self, ticket: Ticket, status: FrameStatus) -> None:
        """Publish the times of a packet's frame, if it was labelled; ``status`` was made now."""
        segmentation = ticket.segmentation
        if segmentation is None or not self._publishers:
            return
        now_s = ticket.arrival_s + status.total_ms / 1e3
        before_s, self._labelled_s = self._labelled_s, now_s
        stages_ms = segmentation.times_ms
        times_ms = {
            "processing_time_ms": status.decode_ms + status.inference_ms,  # without any waiting
            "cyclic_time_ms": math.nan if before_s is None else 1e3 * (now_s - before_s),
            "pipeline_latency_ms": status.age_ms,
            "processing_time/preprocess_ms": stages_ms["input"],
            "processing_time/inference_ms": stages_ms["network"],
            "processing_time/postprocess_ms": stages_ms["output"],
        }
        stamp = self._node.get_clock().now().to_msg()
        for name, time_ms in times_ms.items():
            publisher = self._publishers[name]
            if publisher.get_subscription_count() and not math.isnan(time_ms):
                publisher.publish(self._message(stamp=stamp, data=float(time_ms)))

    def close(self) -> None:
        """Take the publishers back."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers = {}
