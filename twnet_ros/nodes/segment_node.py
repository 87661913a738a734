#!/usr/bin/env python3
"""The segment node: a topic of compressed video in, label images out."""

import re
import sys
import time
from typing import Any

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import (
    LifecycleNode,
    LifecyclePublisher,
    LifecycleState,
    TransitionCallbackReturn,
)
from rclpy.logging import get_logger
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from twnet_ros.codec import Limit
from twnet_ros.codec.limit import MOST_BYTES, MOST_PIXELS
from twnet_ros.msg import ClassMasks, FrameStatus
from twnet_ros.nodes.conversion import (
    ALL_CLASSES,
    Labels,
    class_image,
    encode_masks,
    image_message,
    mask_topics,
    status_message,
)
from twnet_ros.nodes.intake import AUTO, INPUT_TYPES, TOPIC, Intake, accepted_types
from twnet_ros.nodes.parameter import Parameter, Parameters
from twnet_ros.nodes.pipeline import SKIPPED, Pipeline, Ticket
from twnet_ros.nodes.topic import STATUS_QOS
from twnet_ros.segment import KEY_POLICIES, MOTION_SOURCES, Segmenter, SegmentError, key_policy
from twnet_ros.segment.policy import INTERVAL, INTRA, RESIDUAL

THROTTLE_S = 5.0
LOOK_UP_S = 0.5  # how long a signal to end may go unseen


def _input_size(value: list[int]) -> tuple[int, int] | None:
    if len(value) != 2 or min(value) < 0 or (0 in value and any(value)):
        raise SegmentError(f"expected input_size [width, height] or [0, 0], got {list(value)}")
    width, height = value
    return (width, height) if width else None


TABLE = (
    Parameter(
        "model",
        "camvid-mobilenetv1-layer1",
        "Name of a shipped model, or path of a .safetensors checkpoint.",
    ),
    Parameter("device", "auto", "Where the network runs: auto, cpu, cuda or cuda:N."),
    Parameter(
        "precision",
        "auto",
        "Number format of the network; auto measures at start-up and picks.",
        choices=("auto", "fp32", "bf16", "fp16"),
    ),
    Parameter(
        "input_size",
        [0, 0],
        "Width and height, in pixels, that the video is scaled to for the network; "
        "0, 0 is the model's own.",
        check=_input_size,
    ),
    Parameter(
        "mask_classes",
        [ALL_CLASSES],
        "Classes, by name, that ~/masks holds and ~/masks/<class> shows; "
        f"[{ALL_CLASSES}] is every class.",
    ),
    Parameter(
        "motion",
        "auto",
        "Where motion comes from: the codec's vectors, and optical flow for frames without "
        "(auto); the vectors alone, so that frames without take the key step (codec); flow; none; "
        "or flow by a network of the package ptlflow (flownet2, pwcnet).",
        choices=MOTION_SOURCES,
    ),
    Parameter(
        "key_policy",
        "adaptive",
        "Which frames take the key step: I-frames (codec), also after key_interval frames or "
        "by key_intra (interval), also by key_residual (adaptive).",
        choices=KEY_POLICIES,
    ),
    Parameter(
        "key_interval",
        INTERVAL,
        "Frames from one key step to the next, unless key_policy is codec.",
        range=(1, 10_000),
    ),
    Parameter(
        "key_intra",
        INTRA,
        "Share of blocks without a motion vector above which a frame takes the key step, unless "
        "key_policy is codec.",
        range=(0.0, 1.0),
    ),
    Parameter(
        "key_residual",
        RESIDUAL,
        "Mean magnitude of the luma residual, in 8-bit levels, above which a frame takes the key "
        "step with key_policy adaptive.",
        range=(0.0, 255.0),
    ),
    Parameter(
        "label_broken",
        False,
        "Label frames whose reference chain is broken, too, with chain_intact false in ~/status, "
        "instead of waiting for the next key frame.",
    ),
    Parameter(
        "input_type",
        AUTO,
        "Message type of the video; auto takes the one that is published, which it waits for.",
        choices=(AUTO, *(kind.name for kind in INPUT_TYPES)),
    ),
    Parameter(
        "parse",
        False,
        "Messages are pieces of a byte stream, cut anywhere, and not one access unit each.",
    ),
    Parameter(
        "queue_size",
        30,
        "Packets that may wait for the decoder; one more drops them all, to the next key frame.",
        range=(1, 1000),
    ),
    Parameter(
        "max_packet_bytes",
        MOST_BYTES,
        "Bytes of a packet above which it is dropped undecoded.",
        range=(1024, MOST_BYTES),
    ),
    Parameter(
        "max_pixels",
        MOST_PIXELS,
        "Pixels of a picture (width times height, each a multiple of 64) above which the video is "
        "refused.",
        range=(256, MOST_PIXELS),
    ),
    Parameter(
        "skip",
        True,
        "Skip frames that cannot be labelled within max_latency_ms; every packet is decoded.",
    ),
    Parameter(
        "max_latency_ms",
        200.0,
        "Time from a packet's arrival to its labels, in milliseconds, beyond which frames are "
        "skipped for the newest one; 0 always takes the newest.",
        range=(0.0, 60_000.0),
    ),
    Parameter(
        "reliability",
        "reliable",
        "QoS of the video subscription: reliable loses nothing; best_effort also matches "
        "publishers that offer no more.",
        choices=("reliable", "best_effort"),
    ),
    Parameter("autostart", True, "Configure and activate at start, without a lifecycle manager."),
)


class SegmentNode(LifecycleNode):
    """Parameters and wiring; the pipeline does the work on its own threads."""

    def __init__(self) -> None:
        super().__init__("segment")
        self._settings = Parameters(self, TABLE)
        self._pipeline: Pipeline | None = None
        self._intake: Intake | None = None
        self._topic = self.resolve_topic_name(TOPIC)
        self._outputs: list[LifecyclePublisher] = []
        self._classes: dict[int, LifecyclePublisher] = {}  # of ~/masks/<class>, by train id
        self._caveat = ""  # of the stream, as it was logged last
        self._logged: dict[str, float] = {}  # when each reason was, time.monotonic()

    def start(self) -> None:
        """Configure and activate, if the parameters say so."""
        if not self._settings.values()["autostart"]:
            return
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # The lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create the publishers."""
        try:
            self._prepare(self._settings.values())
            result = super().on_configure(state)
        except Exception as error:  # rclpy would say nothing
            self._release()
            self.get_logger().error(
                "cannot configure, and stays unconfigured until a parameter is mended: "
                f"{type(error).__name__}: {error}"
            )
            return TransitionCallbackReturn.FAILURE
        self._settings.frozen = True
        return result

    def _prepare(self, values: dict[str, Any]) -> None:
        self._accepted = accepted_types(values["input_type"])
        segmenter = Segmenter.load(
            values["model"],
            values["device"],
            values["precision"],
            input_size=_input_size(values["input_size"]),
            policy=key_policy(
                values["key_policy"],
                values["key_interval"],
                values["key_intra"],
                values["key_residual"],
            ),
            motion=values["motion"],
            label_broken=values["label_broken"],
        )
        topics = mask_topics(values["mask_classes"], segmenter.classes)
        self._labels = self._advertise(Image, "~/labels", 10)
        self._masks = self._advertise(ClassMasks, "~/masks", 10)
        self._status = self._advertise(FrameStatus, "~/status", STATUS_QOS)
        for class_id, topic in topics.items():
            self._classes[class_id] = self._advertise(Image, topic, 10)
        width, height = segmenter.input_size
        self.get_logger().info(
            f"model {values['model']} on {segmenter.device} in {segmenter.precision} "
            f"at {width}x{height}"
        )
        self._segmenter = segmenter

    def _advertise(self, kind: type, topic: str, qos: QoSProfile | int) -> LifecyclePublisher:
        self._outputs.append(self.create_lifecycle_publisher(kind, topic, qos))
        return self._outputs[-1]

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Listen to the video."""
        values = self._settings.values()
        qos = QoSProfile(
            depth=values["queue_size"],
            reliability=QoSReliabilityPolicy[values["reliability"].upper()],
        )
        try:
            result = super().on_activate(state)
            pipeline = self._pipeline = Pipeline(
                self._segmenter,
                self._publish,
                self._anybody_listens,
                values["queue_size"],
                values["max_latency_ms"] if values["skip"] else None,
                Limit(values["max_pixels"], values["max_packet_bytes"]),
            )
            self._intake = Intake(
                self, self._accepted, qos, values["parse"], pipeline.push, pipeline.interrupt
            )
        except Exception as error:  # rclpy would say nothing
            self._stop()
            super().on_deactivate(state)
            self.get_logger().error(f"cannot activate: {type(error).__name__}: {error}")
            return TransitionCallbackReturn.FAILURE
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening; what waits is forgotten."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give the model and the publishers back; parameters may change again."""
        self._release()
        del self._segmenter
        return super().on_cleanup(state)

    def _release(self) -> None:
        for publisher in self._outputs:
            self.destroy_lifecycle_publisher(publisher)
        self._outputs.clear()
        self._classes.clear()
        self._settings.frozen = False

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the threads."""
        self._stop()
        return super().on_shutdown(state)

    def destroy_node(self) -> None:
        """Stop the threads before what they publish on goes."""
        self._stop()
        super().destroy_node()

    def _stop(self) -> None:
        if self._intake is not None:
            self._intake.stop()
            self._intake = None
        if self._pipeline is not None:
            self._pipeline.stop()
            self._pipeline = None

    # Tickets out

    def _anybody_listens(self) -> bool:
        publishers = (self._labels, self._masks, *self._classes.values())
        return self.context.ok() and any(p.get_subscription_count() for p in publishers)

    def _publish(self, ticket: Ticket) -> None:
        try:
            if ticket.segmentation is not None:
                self._publish_labels(ticket.segmentation.labels, ticket.header)
            now_ns = self.get_clock().now().nanoseconds
            self._status.publish(status_message(ticket, now_ns, time.monotonic()))
        except (rclpy_implementation.InvalidHandle, rclpy_implementation.RCLError):
            if self.context.ok():
                raise
            return  # the process is on its way out
        if ticket.caveat not in ("", self._caveat):
            self._caveat = ticket.caveat
            self.get_logger().warning(f"{self._topic}: {ticket.caveat}")
        if ticket.fault and self._is_news(ticket.reason):
            self.get_logger().error(f"{self._topic}: {ticket.reason}")
        elif self._is_worth_a_warning(ticket) and self._is_news(ticket.reason):
            self.get_logger().warning(
                f"{self._topic}: {ticket.reason}, {ticket.packets_dropped} packets dropped and "
                f"{ticket.frames_skipped} frames skipped so far"
            )

    @staticmethod
    def _is_worth_a_warning(ticket: Ticket) -> bool:
        labelled_broken = ticket.segmentation is not None and not ticket.intact
        return ticket.waiting or labelled_broken or ticket.reason == SKIPPED

    def _is_news(self, reason: str) -> bool:
        """Tell whether a reason was not logged lately; numbers in it make no other reason."""
        now, reason = time.monotonic(), re.sub(r"\d+", "", reason)
        self._logged = {r: at for r, at in self._logged.items() if now - at < THROTTLE_S}
        if reason in self._logged:
            return False
        self._logged[reason] = now
        return True

    def _publish_labels(self, labels: Labels, header: Header) -> None:
        if self._labels.get_subscription_count():
            self._labels.publish(image_message(labels, header))
        if self._masks.get_subscription_count():
            names = self._segmenter.classes
            self._masks.publish(encode_masks(labels, names, self._classes.keys(), header))
        for class_id, publisher in self._classes.items():
            if publisher.get_subscription_count():
                publisher.publish(image_message(class_image(labels, class_id), header))


def main() -> int:
    """Run the node until it is interrupted."""
    rclpy.init()
    try:
        node = SegmentNode()
    except ParameterException as error:
        get_logger("segment").fatal(str(error))
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        node.start()
        # rclpy wakes the executor before it shuts the context down, so that a node that nothing
        # else wakes may sleep on through a signal to end.
        while rclpy.ok():
            executor.spin_once(timeout_sec=LOOK_UP_S)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
