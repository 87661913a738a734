"""The topics out: publishers of what is made of the labels, each only for those who listen."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from twnet_ros.codec import CodedFrame
from twnet_ros.msg import ClassMasks, FrameStatus
from twnet_ros.nodes import label_info
from twnet_ros.nodes.conversion import (
    Labels,
    class_image,
    compressed_message,
    encode_masks,
    image_message,
    mask_topics,
)
from twnet_ros.nodes.topic import STATUS_QOS
from twnet_ros.segment import (
    Remapping,
    Segmentation,
    Segmenter,
    SegmentError,
    Wish,
    color_motion,
    read_class_set,
    read_remapping,
    render_labels,
    render_overlay,
    render_residual,
    to_rgb,
)

DEPTH = 10  # images that a slow subscriber may be behind

Size = tuple[int, int]  # (width, height) in pixels
Calibration = Callable[[Header, Size, Size], CameraInfo | None]


LOOK = {  # the parameters that it is made of
    "class_map",
    "colors",
    "mask_classes",
    "overlay_opacity",
    "output_scale",
    "confidence_threshold",
}


@dataclass(frozen=True, slots=True)
class Look:
    """How labels are shown."""

    names: tuple[str, ...]  # by class id
    colors: NDArray[np.uint8]  # (classes, 3), RGB
    remapping: Remapping | None  # from the model's classes to these
    masks: dict[int, str]  # topics of the classes that have masks, by class id
    opacity: float  # of the colours in the overlay
    scale: float  # size of what is published over the video's
    least_confidence: float

    @classmethod
    def of(cls, values: dict[str, Any], segmenter: Segmenter) -> "Look":
        """Return what the node's parameters say; ValueError where it cannot be."""
        names, colors, remapping = segmenter.classes, segmenter.colors, None
        if values["class_map"]:
            remapping = read_remapping(values["class_map"], segmenter.classes)
            names = remapping.class_set.names
            colors = np.array(remapping.class_set.colors, np.uint8)
        if values["colors"]:
            colors = _colors_of(names, Path(values["colors"]))
        return cls(
            names,
            colors,
            remapping,
            mask_topics(values["mask_classes"], names),
            values["overlay_opacity"],
            values["output_scale"],
            values["confidence_threshold"],
        )


def _colors_of(names: tuple[str, ...], path: Path) -> NDArray[np.uint8]:
    """Return the colour of each class (classes, 3) from a file, which may know more classes."""
    known = read_class_set(path)
    colors = dict(zip(known.names, known.colors, strict=True))
    if missing := [name for name in names if name not in colors]:
        raise SegmentError(
            f"{path}: expected a colour for every class, missing {', '.join(missing)}"
        )
    return np.array([colors[name] for name in names], np.uint8)


# What there is of a labelled frame, beside the mask of each class.
TOPICS = {
    "~/labels": Image,
    "~/confidence": Image,
    "~/masks": ClassMasks,
    "~/color_labels": Image,
    "~/overlay/compressed": CompressedImage,
    "~/motion": Image,
    "~/residual": Image,
    "~/camera_info": CameraInfo,
}


class Outputs:
    """Publishes one frame after the other, in the look that is asked for now.

    What nobody subscribes to is neither computed nor published. ``calibration`` returns that of a
    picture of the video, given a header and the sizes (width, height) of both, or None.
    """

    def __init__(self, node: Node, look: Look, calibration: Calibration) -> None:
        self._node, self._calibration = node, calibration
        self._publishers: dict[str, Publisher] = {}
        try:
            for topic, kind in TOPICS.items():
                self._advertise(kind, topic, QoSProfile(depth=DEPTH))
            # Classes come and go: what overrides the QoS of ~/masks is theirs, too.
            self._mask_qos = self._publishers["~/masks"].qos_profile
            self._status = self._advertise(FrameStatus, "~/status", copy(STATUS_QOS))
            self._label_info = self._advertise_label_info()
            self.show(look)
        except Exception:
            self.close()
            raise

    def _advertise(self, kind: type, topic: str, qos: QoSProfile) -> Publisher:
        options = QoSOverridingOptions.with_default_policies()
        made = self._node.create_publisher(kind, topic, qos, qos_overriding_options=options)
        self._publishers[topic] = made
        return made

    def _advertise_label_info(self) -> Publisher | None:
        try:
            kind = label_info.load()
        except ImportError as error:
            self._node.get_logger().info(f"no topic ~/label_info: {error}")
            return None
        return self._advertise(kind, "~/label_info", copy(label_info.LABEL_INFO_QOS))

    def advertise(self, look: Look) -> None:
        """Make the publishers that a look needs, beside those of the one in use."""
        for topic in sorted(set(look.masks.values()) - set(self._publishers)):
            self._publishers[topic] = self._node.create_publisher(Image, topic, self._mask_qos)

    def show(self, look: Look) -> None:
        """Show what comes next in another look; masks that stay keep their publishers."""
        self.advertise(look)
        gone = {topic for topic in self._publishers if topic.startswith("~/masks/")}
        for topic in gone - set(look.masks.values()):
            self._node.destroy_publisher(self._publishers.pop(topic))
        self._look = look
        if self._label_info is not None:
            header = Header(stamp=self._node.get_clock().now().to_msg())
            self._label_info.publish(
                label_info.label_info_message(look.names, look.least_confidence, header)
            )

    def close(self) -> None:
        """Take the publishers back."""
        while self._publishers:
            self._node.destroy_publisher(self._publishers.popitem()[1])

    def wish(self) -> Wish | None:
        """Return what is wanted of the next frame by those who listen now; None: nothing."""
        if not any(map(self._is_heard, (*TOPICS, *self._look.masks.values()))):
            return None
        return Wish(
            confidence=self._is_heard("~/confidence"),
            evidence=self._is_heard("~/motion") or self._is_heard("~/residual"),
            scale=self._look.scale,
            least_confidence=self._look.least_confidence,
        )

    def report(self, status: FrameStatus) -> None:
        """Publish what became of a packet; a status waits for subscribers that come later."""
        self._status.publish(status)

    def publish(self, segmentation: Segmentation, frame: CodedFrame, header: Header) -> None:
        """Publish everything that is made of one frame, under its header."""
        labels, look, send = segmentation.labels, self._look, self._send
        if look.remapping is not None:
            labels = look.remapping.apply(labels)
        send("~/labels", lambda: image_message(labels, header))
        send("~/masks", lambda: encode_masks(labels, look.names, look.masks, header))
        for class_id, topic in look.masks.items():
            send(topic, partial(self._mask, labels, class_id, header))
        send("~/color_labels", lambda: image_message(render_labels(labels, look.colors), header))
        send(
            "~/overlay/compressed",
            lambda: compressed_message(self._overlay(labels, frame), header),
        )
        if self._is_heard("~/camera_info"):
            height, width = labels.shape
            found = self._calibration(header, (frame.width, frame.height), (width, height))
            if found is not None:
                self._publishers["~/camera_info"].publish(found)
        # Who began to listen after this frame was asked for gets the next one.
        if (confidence := segmentation.confidence) is not None:
            send("~/confidence", lambda: image_message(confidence, header))
        if (evidence := segmentation.evidence) is not None:
            send("~/motion", lambda: image_message(color_motion(evidence.motion), header))
            residual = evidence.residual
            send("~/residual", lambda: image_message(render_residual(residual)[..., 0], header))

    @staticmethod
    def _mask(labels: Labels, class_id: int, header: Header) -> Image:
        return image_message(class_image(labels, class_id), header)

    def _overlay(self, labels: Labels, frame: CodedFrame) -> NDArray[np.uint8]:
        size = labels.shape[::-1]
        rgb = np.asarray(cv2.resize(to_rgb(frame), size, interpolation=cv2.INTER_AREA), np.uint8)
        return render_overlay(rgb, labels, self._look.colors, self._look.opacity)

    def _send(self, topic: str, make: Callable[[], object]) -> None:
        if self._is_heard(topic):
            self._publishers[topic].publish(make())

    def _is_heard(self, topic: str) -> bool:
        return bool(self._publishers[topic].get_subscription_count())
