"""Whether ROS is still up, asked from threads of our own, and running a node until it is not."""

import threading
import time

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

LOOK_UP_S = 0.5  # how long a signal to end may go unseen
DOWN_S = 2.0  # far more than rclpy takes to shut a context down after a signal


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


def spin(executor: SingleThreadedExecutor, ending: threading.Event) -> None:
    """Run what waits until the process is asked to end, or the event set."""
    try:
        # rclpy wakes the executor before it shuts the context down, so that a node that nothing
        # else wakes may sleep on through a signal to end.
        while rclpy.ok() and not ending.is_set():
            executor.spin_once(timeout_sec=LOOK_UP_S)
    except ExternalShutdownException:
        pass
    except rclpy_implementation.RCLError:
        if rclpy.ok():  # and not shut down between the two calls
            raise


def wait_until_down() -> None:
    """Wait, after a KeyboardInterrupt, for rclpy to have dealt with the signal.

    It does so on a thread of its own, which wakes every executor there is and then shuts the
    context down: an executor that is taken from under it ends the process by SIGSEGV.
    """
    deadline = time.monotonic() + DOWN_S
    while rclpy.ok() and time.monotonic() < deadline:
        time.sleep(0.005)
