"""Whether ROS is still up, asked from threads of our own."""

from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node


def is_up(node: Node) -> bool:
    """Say what ``node.context.ok()`` does, without its lock.

    rclpy holds that while it shuts a context down and destroys the nodes, and so while we wait for
    the threads of such a node to end: they must not wait for it.
    """
    context = node.context.handle
    try:
        with context:
            return bool(context.ok())
    except rclpy_implementation.InvalidHandle:  # destroyed already
        return False
