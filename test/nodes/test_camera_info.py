"""Calibrations that fit the pictures: geometry, where they come from, and what is said if none."""

import cv2
import numpy as np
import pytest
import rclpy
from hypothesis import given
from hypothesis import strategies as st
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from twnet_ros.nodes.camera_info import CameraInfoIntake, camera_info_topic, scale_camera_info

K = [1000.0, 0.0, 950.5, 0.0, 990.0, 530.25, 0.0, 0.0, 1.0]
P = [900.0, 0.0, 960.0, -108.0, 0.0, 900.0, 540.0, 7.0, 0.0, 0.0, 1.0, 0.0]
R = [0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
D = [-0.3, 0.1, 0.001, -0.002, 0.01]
HEADER = Header(frame_id="front_optical")


def camera(width=1920, height=1080, **fields):
    given = {"distortion_model": "plumb_bob", "d": D, "k": K, "r": R, "p": P, **fields}
    return CameraInfo(width=width, height=height, **given)


def project(matrix, point):
    """Where a 3x3 or 3x4 matrix, row by row, shows a point of the camera's frame, in pixels."""
    matrix = np.reshape(matrix, (3, -1))
    x, y, w = matrix @ np.append(point, 1.0)[: matrix.shape[1]]
    return np.array([x / w, y / w])


# Geometry

lengths = st.floats(50.0, 5000.0)
offsets = st.floats(-500.0, 5000.0)
sides = st.integers(16, 4096)


@st.composite
def captures(draw):
    """A calibrated sensor, what of it the video shows, and (first pixel, binning, sizes)."""
    binning = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    binned = [max(b, 1) for b in binning]
    video = draw(st.tuples(sides, sides))
    # What a bin does not fill is dropped.
    rest = [draw(st.integers(0, b - 1)) for b in binned]
    window = [v * b + r for v, b, r in zip(video, binned, rest, strict=True)]
    first = draw(st.tuples(st.integers(0, 300), st.integers(0, 300)))
    width, height = (f + w for f, w in zip(first, window, strict=True))
    roi = RegionOfInterest(x_offset=first[0], y_offset=first[1])
    if draw(st.booleans()) or any(first):
        roi.width, roi.height = window
    fx, fy, cx, cy = (draw(s) for s in (lengths, lengths, offsets, offsets))
    skew, tx, ty = (draw(st.floats(-50.0, 50.0)) for _ in range(3))
    info = camera(
        width,
        height,
        k=[fx, skew, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, tx, 0.0, fy, cy, ty, 0.0, 0.0, 1.0, 0.0],
        binning_x=binning[0],
        binning_y=binning[1],
        roi=roi,
    )
    return info, np.array(first), np.array(binned), video


@given(
    captures(),
    st.tuples(sides, sides),
    st.tuples(st.floats(-20, 20), st.floats(-20, 20), st.floats(0.5, 100)),
)
def test_a_point_is_shown_where_the_scaled_picture_has_it(capture, picture, point):
    """A pixel's area is scaled: its left edge u - 0.5 goes to (u - 0.5 - first) * scale."""
    info, first, binned, video = capture
    scaled = scale_camera_info(info, video, picture, HEADER)
    scale = np.array(picture) / (np.array(video) * binned)
    for before, after in ((info.k, scaled.k), (info.p, scaled.p)):
        edge = project(before, point) + 0.5 - first
        expected = edge * scale - 0.5
        np.testing.assert_allclose(project(after, point), expected, rtol=1e-9, atol=1e-6)
    assert (scaled.width, scaled.height) == picture
    assert (scaled.binning_x, scaled.binning_y, scaled.roi) == (0, 0, RegionOfInterest())


@pytest.mark.parametrize("picture", [(24, 20), (96, 60), (200, 17)])
def test_opencv_s_resize_agrees(picture):
    """Where a ramp of each pixel's own column is scaled, it says which column is shown where."""
    video = (48, 40)
    ramp = np.tile(np.arange(video[0], dtype=np.float32), (video[1], 1))
    smaller = picture[0] < video[0]
    shown = cv2.resize(
        ramp, picture, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )
    info = camera(*video, k=[40.0, 0.0, 20.0, 0.0, 40.0, 20.0, 0.0, 0.0, 1.0])
    scaled = scale_camera_info(info, video, picture, HEADER)
    for column in (5, 20, 33):
        point = np.linalg.inv(np.reshape(info.k, (3, 3))) @ (column, 10.0, 1.0)
        u, _ = project(scaled.k, point)
        left = int(u)
        value = (1 - u + left) * shown[3, left] + (u - left) * shown[3, left + 1]
        assert value == pytest.approx(column, abs=1e-4)


def test_what_is_scaled_and_what_stays():
    scaled = scale_camera_info(camera(), (1920, 1080), (960, 360), HEADER)
    assert scaled.header == HEADER
    assert (scaled.width, scaled.height) == (960, 360)
    assert scaled.distortion_model == "plumb_bob"
    assert list(scaled.d) == D
    assert list(scaled.r) == R
    # 950.5 lies 951 pixels from the left edge, 530.25 lies 530.75 from the upper one.
    third = pytest.approx([990 / 3, 530.75 / 3 - 0.5, 7 / 3], rel=1e-12)
    assert list(scaled.k[:3]) == [500.0, 0.0, 951 / 2 - 0.5]
    assert [scaled.k[4], scaled.k[5], scaled.p[7]] == third
    assert list(scaled.p[:4]) == [450.0, 0.0, 960.5 / 2 - 0.5, -54.0]
    assert list(scaled.k[6:]) == [0.0, 0.0, 1.0]
    assert list(scaled.p[8:]) == [0.0, 0.0, 1.0, 0.0]


def test_pictures_of_the_video_s_size_have_the_camera_s_own():
    info = camera(header=HEADER)
    assert scale_camera_info(info, (1920, 1080), (1920, 1080), HEADER) == info


def test_without_a_calibration_zeros_stay_zeros():
    info = CameraInfo(width=640, height=480)
    scaled = scale_camera_info(info, (640, 480), (320, 240), HEADER)
    assert not any(scaled.k)
    assert not any(scaled.p)
    assert (scaled.width, scaled.height) == (320, 240)


@pytest.mark.parametrize(
    ("info", "video", "got"),
    [
        (camera(), (1280, 720), "1920x1080"),
        (camera(), (1080, 1920), "1920x1080"),
        (camera(binning_x=2, binning_y=2), (1920, 1080), "960x540"),
        (camera(roi=RegionOfInterest(width=640, height=480)), (1920, 1080), "640x480"),
        (camera(0, 0), (640, 480), "0x0"),
    ],
)
def test_a_calibration_of_another_size_is_refused(info, video, got):
    expected = f"the video's {video[0]}x{video[1]} pixels, got one of {got}$"
    with pytest.raises(ValueError, match=expected):
        scale_camera_info(info, video, video, HEADER)


# Where it comes from


@pytest.mark.parametrize(
    ("video", "expected"),
    [
        ("/camera/image/compressed", "/camera/camera_info"),
        ("/camera/image_raw/ffmpeg", "/camera/camera_info"),
        ("/front/left/image_rect/foxglove", "/front/left/camera_info"),
        ("/camera/image_compressed", "/camera/camera_info"),
        ("/camera/video", "/camera/camera_info"),
        ("/image/compressed", "/camera_info"),
        ("/video", "/camera_info"),
        ("/compressed/video", "/compressed/camera_info"),
    ],
)
def test_the_video_s_sibling_by_image_transport_s_convention(video, expected):
    assert camera_info_topic(video) == expected


@pytest.mark.parametrize(
    ("remaps", "given", "expected"),
    [
        ([], "", "{ns}/camera_info"),
        (["video:=/front/image/compressed"], "", "/front/camera_info"),
        (["video:=/front/image/compressed", "camera_info:=/calib/front"], "", "/calib/front"),
        (["video:=front/image/ffmpeg"], "", "{ns}/front/camera_info"),
        (["camera_info:=own"], "", "{ns}/own"),
        # By remapping, this one could not be told from none.
        (["video:=/front/image/compressed"], "camera_info", "{ns}/camera_info"),
        (["video:=/front/image/compressed"], "/calib/front", "/calib/front"),
    ],
)
def test_where_calibrations_come_from(namespace, remaps, given, expected):
    arguments = [part for remap in remaps for part in ("-r", remap)]
    rclpy.init(args=["--ros-args", "-r", f"__ns:={namespace}", *arguments])
    try:
        node = Node("segment")
        assert CameraInfoIntake(node, given).topic == expected.format(ns=namespace)
        node.destroy_node()
    finally:
        rclpy.try_shutdown()


RELIABLE, BEST_EFFORT = QoSReliabilityPolicy.RELIABLE, QoSReliabilityPolicy.BEST_EFFORT


@pytest.mark.parametrize("reliability", [RELIABLE, BEST_EFFORT])
def test_the_newest_serves_every_frame_whatever_its_stamp(ros, reliability):
    node = ros.add(Node("segment"))
    qos = QoSProfile(
        depth=5, reliability=reliability, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL
    )
    intake = CameraInfoIntake(node)
    video = (1920, 1080)
    assert intake.find(HEADER, video, video) == (
        None,
        f"waiting for a calibration on {intake.topic}",
    )
    assert intake.find(HEADER, video, video) == (None, "")
    publisher = node.create_publisher(CameraInfo, "camera_info", qos)
    ros.spin_until(publisher.get_subscription_count)
    for number in (77, 7):
        info = camera(d=[float(number)])
        info.header.stamp.sec = number
        publisher.publish(info)
        expected = camera(d=[float(number)], header=HEADER)
        ros.spin_until(lambda: intake.find(HEADER, video, video) == (expected, ""))  # noqa: B023
    later = Header(frame_id="front_optical")
    later.stamp.sec = 5
    found, news = intake.find(later, video, (960, 540))
    assert (found.header, found.width, news) == (later, 960, "")
    intake.stop()
    ros.spin_until(lambda: not publisher.get_subscription_count())


def test_a_calibration_that_was_latched_is_heard_by_who_asks_for_that(ros):
    qos = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
    publisher = ros.add(Node("driver")).create_publisher(CameraInfo, "camera_info", qos)
    publisher.publish(camera())
    name = f"qos_overrides.{ros.namespace}/camera_info.subscription"
    asked = {"durability": "transient_local", "reliability": "reliable"}
    overrides = [Parameter(f"{name}.{policy}", value=value) for policy, value in asked.items()]
    intake = CameraInfoIntake(ros.add(Node("segment", parameter_overrides=overrides)))
    ros.spin_until(lambda: intake.find(HEADER, (1920, 1080), (1920, 1080))[0])


def test_another_size_is_told_once_until_it_fits_again():
    rclpy.init()
    try:
        node = Node("segment")
        intake = CameraInfoIntake(node)
        intake._receive(camera())
        fits, other = (1920, 1080), (640, 480)
        assert intake.find(HEADER, fits, fits)[1] == ""
        news = []
        for video in (other, other, fits, other, other, (320, 240)):
            found, text = intake.find(HEADER, video, video)
            assert (found is None) == (video != fits)
            news.append(text)
        told = f"{intake.topic}: expected a calibration of the video's "
        assert [text != "" for text in news] == [True, False, False, True, False, True]
        assert news[0] == news[3] == told + "640x480 pixels, got one of 1920x1080"
        assert news[5].startswith(told + "320x240")
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
