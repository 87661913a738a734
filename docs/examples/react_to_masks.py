#!/usr/bin/env python3
"""Warns when people fill more than a share of the lower middle of the picture.

Run it beside a segment node, in a shell that has the workspace sourced:

    python3 docs/examples/react_to_masks.py --ros-args -r masks:=/segment/masks -p share:=0.05

Masks are small on the wire (runs of pixels) and come by name, so that it does not matter which
model, or which ``class_map``, the segment node has.
"""

import sys

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import Bool

from twnet_ros.msg import ClassMasks
from twnet_ros.nodes.conversion import decode_mask


def share_ahead(message: ClassMasks, classes: list[str]) -> float:
    """Return the share of the picture's lower half, middle third, that is of these classes."""
    rows = slice(message.height // 2, None)
    columns = slice(message.width // 3, message.width - message.width // 3)
    ahead = 0.0
    for mask in message.masks:
        if mask.class_name in classes:
            full = decode_mask(mask, message.height, message.width)
            ahead += float(full[rows, columns].mean())
    return ahead


class Watcher(Node):
    """Publishes for each frame whether somebody is ahead, and warns when that begins."""

    def __init__(self) -> None:
        super().__init__("watcher")
        # As Cityscapes, CamVid and ``class_map: driving`` name them.
        self.declare_parameter("classes", ["person", "rider", "pedestrian", "cyclist"])
        self.declare_parameter("share", 0.02)
        self._ahead = False
        self._publisher = self.create_publisher(Bool, "~/person_ahead", 10)
        self.create_subscription(ClassMasks, "masks", self._look, 10)

    def _look(self, message: ClassMasks) -> None:
        share = share_ahead(message, self.get_parameter("classes").value)
        ahead = share > self.get_parameter("share").value
        if ahead and not self._ahead:
            self.get_logger().warning(f"people fill {share:.1%} of what is ahead")
        self._ahead = ahead
        self._publisher.publish(Bool(data=ahead))


def main() -> int:
    """Watch until interrupted."""
    rclpy.init()
    node = Watcher()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
