"""The camera's calibration, for the pictures that the node makes of its video."""

import re
from copy import copy

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from twnet_ros.nodes.intake import TOPIC as VIDEO_TOPIC

TOPIC = "camera_info"
# Best effort hears those who publish reliably, too, and each one says the same.
QOS = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)

# The last part of a video's topic where image_transport made it, for the types that we accept.
_TRANSPORT = re.compile(r"/(compressed|ffmpeg|foxglove)$")

Size = tuple[int, int]  # width, height in pixels


def camera_info_topic(video_topic: str) -> str:
    """Return where the calibration of a video is published by image_transport's convention.

    It is the sibling of the image, whose topic is the video's without its last part where that
    names a transport: /camera/image/compressed and /camera/image_compressed both have
    /camera/camera_info. ``video_topic`` is absolute.
    """
    image_topic = _TRANSPORT.sub("", video_topic)
    return f"{image_topic.rpartition('/')[0]}/{TOPIC}"


def scale_camera_info(info: CameraInfo, video: Size, picture: Size, header: Header) -> CameraInfo:
    """Return the calibration of pictures that a camera's video is scaled to.

    ``info`` is the camera's, ``video`` and ``picture`` are (width, height) in pixels. What is
    returned describes the picture itself: its size, no binning, no region of interest. Distortion
    and R are free of pixels and stay.

    Pixel centres lie at whole coordinates, as OpenCV and ROS have it, and a picture scaled by s
    has at (u + 0.5) * s - 0.5 what the video has at u: so are focal lengths, Tx and Ty scaled,
    and the principal point moved. Binning and a region of interest (REP 104) are the same, from
    the pixels of the sensor. (image_proc's resize and image_geometry's binning take u * s, which
    is (1 - s) / 2 pixels off.) A calibration of zeros, which means that there is none, stays one.

    ValueError if the camera's pictures are not of the video's size.
    """
    roi = info.roi
    first = roi.x_offset, roi.y_offset
    binning = max(info.binning_x, 1), max(info.binning_y, 1)
    width, height = (
        (roi.width or info.width) // binning[0],
        (roi.height or info.height) // binning[1],
    )
    if (width, height) != video:
        raise ValueError(
            f"expected a calibration of the video's {video[0]}x{video[1]} pixels, "
            f"got one of {width}x{height}"
        )
    to_picture = np.eye(3)
    for axis in (0, 1):
        scale = picture[axis] / (video[axis] * binning[axis])
        to_picture[axis, axis] = scale
        to_picture[axis, 2] = (0.5 - first[axis]) * scale - 0.5
    return CameraInfo(
        header=header,
        width=picture[0],
        height=picture[1],
        distortion_model=info.distortion_model,
        d=info.d,
        k=(to_picture @ np.reshape(info.k, (3, 3))).reshape(-1),
        r=info.r,
        p=(to_picture @ np.reshape(info.p, (3, 4))).reshape(-1),
    )


class CameraInfoIntake:
    """Follows the camera's own ``camera_info`` and scales the newest to the pictures that go out.

    Calibrations hardly change, so that the newest is that of every frame, whatever its stamp. The
    topic is the one given, or else what ``camera_info`` is remapped to, or else the video's
    sibling (``camera_info_topic``). The executor's thread receives; any other may ask.
    """

    def __init__(self, node: Node, topic: str = "") -> None:
        self._node = node
        self._latest: CameraInfo | None = None
        self._said = ""
        if not topic:
            topic = TOPIC
            if node.resolve_topic_name(TOPIC) == node.resolve_topic_name(TOPIC, only_expand=True):
                topic = camera_info_topic(node.resolve_topic_name(VIDEO_TOPIC))
        usual = QoSOverridingOptions.with_default_policies().policy_kinds
        # A calibration that is published once, and latched, is heard by those who ask for that.
        options = QoSOverridingOptions((*usual, QoSPolicyKind.DURABILITY))
        self._subscription = node.create_subscription(
            CameraInfo, topic, self._receive, copy(QOS), qos_overriding_options=options
        )

    @property
    def topic(self) -> str:
        """Whence calibrations come."""
        return self._subscription.topic_name

    def stop(self) -> None:
        """Stop listening."""
        self._node.destroy_subscription(self._subscription)

    def find(self, header: Header, video: Size, picture: Size) -> tuple[CameraInfo | None, str]:
        """Return the calibration of a picture of the video, (width, height) each, and any news.

        The news is for the log and comes once, '' otherwise: why there is no calibration.
        """
        info, latest, text = None, self._latest, ""
        if latest is None:
            text = f"waiting for a calibration on {self.topic}"
        else:
            try:
                info = scale_camera_info(latest, video, picture, header)
            except ValueError as error:
                text = f"{self.topic}: {error}"
        news = text if text != self._said else ""
        self._said = text
        return info, news

    def _receive(self, message: CameraInfo) -> None:
        self._latest = message
