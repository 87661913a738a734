"""Watching what a segment node publishes, or makes of a topic of video."""

import logging
import math
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from twnet_ros.nodes.context import spin
from twnet_ros.nodes.intake import INPUT_TYPES
from twnet_ros.nodes.segment_node import SegmentNode
from twnet_ros.nodes.topic import stamp_ns
from twnet_ros.segment.contact import COLUMNS, four_panes
from twnet_ros.segment.picture import Picture

# The panes, by their topics below a segment node's name.
PANES = {
    "overlay/compressed": "overlay",
    "motion": "motion",
    "residual": "residual",
    "color_labels": "labels",
}
CHANNELS = {"rgb8": 3, "mono8": 1}  # of the encodings that a segment node sends
WAITING = 8  # frames that wait for the rest of their pictures
SILENCE_S = 5.0  # without a picture, before it is said why

logger = logging.getLogger(__name__)


class Viewer(Node):
    """Subscribes to a segment node's pictures and puts those of a frame together."""

    def __init__(self, segment: str) -> None:
        super().__init__("twnet_view")
        self.ready: list[tuple[int, Picture]] = []  # stamp in nanoseconds, panes
        self._frames: dict[int, dict[str, Picture]] = {}  # by stamp, then pane
        self._pictures: list[Subscription] = []
        self.follow(segment, tuple(PANES.values()))

    def follow(self, segment: str, titles: tuple[str, ...]) -> None:
        """Subscribe to the pictures of the node with this full name; the panes have titles."""
        while self._pictures:
            self.destroy_subscription(self._pictures.pop())
        self._titles = titles
        self.topics = [f"{segment.rstrip('/')}/{topic}" for topic in PANES]
        for topic, pane in zip(self.topics, PANES.values(), strict=True):
            kind = CompressedImage if topic.endswith("/compressed") else Image
            take = partial(self._take, pane)
            self._pictures.append(self.create_subscription(kind, topic, take, WAITING))

    def _take(self, pane: str, message: CompressedImage | Image) -> None:
        """Keep a picture; what is whole is ready, with all that came before it.

        So is what already has a picture of this pane: stamps need not be unique.
        """
        try:
            picture = _read(message)
        except ValueError as error:
            logger.warning("%s: %s", pane, error)
            return
        stamp = stamp_ns(message.header)
        if pane in self._frames.get(stamp, ()):
            self._hand_on(stamp)
        self._frames.setdefault(stamp, {})[pane] = picture
        if len(self._frames[stamp]) == len(PANES):
            self._hand_on(stamp)
        elif len(self._frames) > WAITING:
            self._hand_on(next(iter(self._frames)))

    def _hand_on(self, last: int) -> None:
        """Make ready the frames up to the one with this stamp."""
        while last in self._frames:
            stamp = next(iter(self._frames))
            self.ready.append((stamp, self._panes(stamp, self._frames.pop(stamp))))

    def _panes(self, stamp: int, pictures: dict[str, Picture]) -> Picture:
        shown = [pictures.get(name) for name in PANES.values()]
        return four_panes(self._titles, shown, f"at {stamp / 1e9:.3f} s")

    def finds_video(self, topic: str) -> bool:
        """Tell whether video that a segment node takes is published on a topic."""
        kinds = {kind.type_name for kind in INPUT_TYPES}
        return any(one.topic_type in kinds for one in self.get_publishers_info_by_topic(topic))


def _read(message: CompressedImage | Image) -> Picture:
    """Return a message's picture (H, W, 3), RGB; ValueError if it holds none."""
    data = np.frombuffer(message.data, np.uint8)
    if isinstance(message, CompressedImage):
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        if decoded is None:
            raise ValueError(f"expected a JPEG or PNG picture, got {len(data)} other bytes")
        return np.asarray(decoded[..., ::-1], np.uint8)
    if message.encoding not in CHANNELS:
        raise ValueError(f"expected an image in rgb8 or mono8, got {message.encoding!r}")
    height, width, channels = message.height, message.width, CHANNELS[message.encoding]
    if len(data) != height * message.step or message.step < width * channels or not len(data):
        raise ValueError(
            f"expected {message.encoding} of {width}x{height} in rows of {message.step} bytes, "
            f"got {len(data)} bytes"
        )
    rows = data.reshape(height, message.step)[:, : width * channels]
    return np.broadcast_to(rows.reshape(height, width, channels), (height, width, 3))


def watch(
    name: str, wanted: Callable[[], bool], parameters: dict[str, Any]
) -> Iterator[tuple[int, Picture]]:
    """Yield what a segment node, called by its full name, publishes: stamp in ns and four panes.

    Where ``name`` is that of a topic with video, a segment node of this process, with these
    parameters, is what is watched; ValueError where it cannot be. A frame of which some picture is
    missing has a blank pane for it. Ends when ``wanted``, which is asked all the time, says no, or
    at a signal to end.
    """
    # Handlers of its own: at a signal, what is being written shall be ended and not be lost.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node, own = Viewer(name), ExitStack()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    since, quiet, found = time.monotonic(), True, False
    try:
        with own, _signalled() as signalled:
            while wanted() and not signalled():
                executor.spin_once(timeout_sec=0.05)
                if quiet and not found and node.finds_video(name):
                    segment = own.enter_context(_segmenting(name, parameters))
                    node.follow(segment, COLUMNS)
                    since, found = time.monotonic(), True
                yield from node.ready
                quiet = quiet and not node.ready
                node.ready.clear()
                if quiet and time.monotonic() - since > SILENCE_S:
                    _explain(node, name)
                    since = math.inf
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


@contextmanager
def _segmenting(topic: str, parameters: dict[str, Any]) -> Iterator[str]:
    """Run a segment node for a topic of video, and give its name; its overlay is the picture.

    It runs on a thread of its own: video is taken however long a picture takes to be shown.
    """
    remapped = {
        "video": topic,
        "__ns": f"/twnet_view_{uuid.uuid4().hex[:8]}",
        "/diagnostics": "~/diagnostics",  # a robot's is no business of who watches
    }
    rules = [part for rule in remapped.items() for part in ("-r", ":=".join(rule))]
    given = {**parameters, "overlay_opacity": 0.0}
    try:
        node = SegmentNode(
            cli_args=["--ros-args", *rules],
            parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
        )
    except ParameterException as error:
        raise ValueError(str(error)) from error
    executor, ending = SingleThreadedExecutor(), threading.Event()
    executor.add_node(node)
    thread = threading.Thread(target=spin, args=(executor, ending))
    try:
        for step in (node.trigger_configure, node.trigger_activate):
            if step() != TransitionCallbackReturn.SUCCESS:
                raise ValueError(
                    "expected a segment node for the topic, got none: its log says why"
                )
        thread.start()
        yield node.get_fully_qualified_name()
    finally:
        ending.set()
        if thread.is_alive():
            thread.join()
        executor.shutdown()
        node.destroy_node()


def _explain(node: Viewer, name: str) -> None:
    """Say why there is no picture yet."""
    silent = [topic for topic in node.topics if not node.count_publishers(topic)]
    logger.warning(
        "no picture yet: %s",
        f"nobody publishes video on {name}, nor {', '.join(silent)}"
        if silent
        else f"{node.topics[0].rpartition('/overlay')[0]} publishes none",
    )


@contextmanager
def _signalled() -> Iterator[Callable[[], bool]]:
    """Take the signals to end, and tell whether one came."""
    came: list[int] = []
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.signal(kind, lambda number, _: came.append(number)) for kind in kinds}
    try:
        yield lambda: bool(came)
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
