"""Every topic of the segment node: what it shows, in the look that is asked for."""

import json
import sys

import cv2
import numpy as np
import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo

from twnet_ros.codec import StreamDecoder
from twnet_ros.nodes.conversion import JPEG_QUALITY
from twnet_ros.nodes.label_info import LABEL_INFO_QOS
from twnet_ros.segment import color_motion, render_overlay, to_rgb


@pytest.fixture
def decoded(mpeg4_packets):
    decoder = StreamDecoder("mpeg4")
    return [decoder.decode(packet.data)[0] for packet in mpeg4_packets[:2]]


def play(ros, camera, packets, first=1):
    """Send packets and wait for what every topic makes of them."""
    before = {topic: len(messages) for topic, messages in camera.received.items()}
    for sec, packet in enumerate(packets, first):
        camera.send(packet.data, sec)
    ros.spin_until(
        lambda: all(
            len(messages) == before[topic] + len(packets)
            for topic, messages in camera.received.items()
        )
    )
    return {topic: messages[before[topic] :] for topic, messages in camera.received.items()}


def set_all(node, **values):
    given = [Parameter(name, value=value) for name, value in values.items()]
    return node.set_parameters_atomically(given)


def image(message):
    """The pixels of mono8 or rgb8, by the message's own fields."""
    pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    return pixels if message.encoding == "mono8" else pixels.reshape(*pixels.shape[:1], -1, 3)


def picture(message):
    return cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def through_jpeg(rgb):
    _, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def mask_topics(node):
    names = [p.topic_name for p in node.publishers]
    return {name.rpartition("/")[2] for name in names if "/masks/" in name}


def test_each_picture_shows_its_frame_under_its_header(
    ros, connect, mpeg4_packets, decoded, fake_segmenter
):
    topics = ("color_labels", "confidence", "overlay/compressed", "motion", "residual")
    received = play(ros, connect(*topics), mpeg4_packets[:2])
    for number, frame in enumerate(decoded):
        labels = frame.y >> 6
        now = {topic: messages[number] for topic, messages in received.items()}
        for message in now.values():
            assert (message.header.stamp.sec, message.header.frame_id) == (number + 1, "front")
        assert now["color_labels"].encoding == "rgb8"
        assert (image(now["color_labels"]) == fake_segmenter.colors[labels]).all()
        assert now["confidence"].encoding == "mono8"
        assert (image(now["confidence"]) == 77).all()
        assert now["overlay/compressed"].format == "rgb8; jpeg compressed bgr8"
        expected = render_overlay(to_rgb(frame), labels, fake_segmenter.colors, 0.5)
        assert (picture(now["overlay/compressed"]) == through_jpeg(expected)).all()
        motion = np.full((4, 6, 2), number, np.float32)
        assert (image(now["motion"]) == color_motion(motion)).all()
        assert (image(now["residual"]) == 128 + 4 * 10).all()


@pytest.mark.parametrize(
    ("topic", "confidence", "evidence"),
    [
        ("labels", False, False),
        ("confidence", True, False),
        ("motion", False, True),
        ("residual", False, True),
    ],
)
def test_the_engine_is_asked_for_what_is_listened_to(
    topic, confidence, evidence, ros, connect, mpeg4_packets, fake_segmenter
):
    play(ros, connect(topic), mpeg4_packets[:1])
    wish = fake_segmenter.wish
    assert (wish.confidence, wish.evidence) == (confidence, evidence)


def test_colours_opacity_and_size_change_between_two_frames(
    ros, segment, connect, mpeg4_packets, decoded, fake_segmenter
):
    camera = connect("labels", "masks", "color_labels", "overlay/compressed")
    play(ros, camera, mpeg4_packets[:1])
    assert set_all(
        segment, overlay_opacity=1.0, output_scale=0.5, confidence_threshold=0.25
    ).successful
    now = {topic: m[0] for topic, m in play(ros, camera, mpeg4_packets[1:2], 2).items()}
    labels = np.ascontiguousarray(decoded[1].y[::2, ::2] >> 6)
    assert fake_segmenter.wish.least_confidence == 0.25
    assert (image(now["labels"]) == labels).all()
    assert (now["masks"].height, now["masks"].width) == labels.shape
    assert (image(now["color_labels"]) == fake_segmenter.colors[labels]).all()
    overlay = picture(now["overlay/compressed"])
    assert (overlay == through_jpeg(fake_segmenter.colors[labels])).all()
    assert now["status"].path == 2  # the stream went on


def test_labels_are_published_in_the_classes_of_a_map(
    ros, segment, connect, mpeg4_packets, decoded, tmp_path
):
    classes = {
        "names": ["ground", "air"],
        "colors": [[9, 8, 7], [1, 2, 3]],
        "sources": {"ground": ["road", "person"], "air": ["sky"]},
        "unlabelled": ["traffic light"],
    }
    path = tmp_path / "stack.json"
    path.write_text(json.dumps(classes), encoding="utf-8")
    camera = connect("labels", "masks", "color_labels")
    assert set_all(segment, class_map=str(path)).successful
    assert mask_topics(segment) == {"ground", "air"}
    now = {topic: m[0] for topic, m in play(ros, camera, mpeg4_packets[:1]).items()}
    expected = np.array([0, 1, 255, 0], np.uint8)[decoded[0].y >> 6]
    assert (image(now["labels"]) == expected).all()
    assert {mask.class_name for mask in now["masks"].masks} <= {"ground", "air"}
    colors = np.zeros((256, 3), np.uint8)
    colors[:2] = classes["colors"]
    assert (image(now["color_labels"]) == colors[expected]).all()
    refused = set_all(segment, class_map="", mask_classes=["ground"])
    assert not refused.successful and "got ground" in refused.reason


@pytest.mark.parametrize("failure", ["a name too long for a topic", "the middleware"])
def test_a_mask_that_cannot_be_published_leaves_all_as_it_is(
    ros, segment, connect, mpeg4_packets, tmp_path, monkeypatch, failure
):
    camera = connect("labels", "masks/road")
    play(ros, camera, mpeg4_packets[:1])
    before = mask_topics(segment)
    name = "long" * 70
    if failure == "the middleware":
        name, create = "other", segment.create_publisher

        def refuse(kind, topic, *others, **options):
            if topic.endswith("/other"):
                raise RuntimeError("no room")
            return create(kind, topic, *others, **options)

        monkeypatch.setattr(segment, "create_publisher", refuse)
    path = tmp_path / "stack.json"
    sources = {name: ["road"], "air": ["sky", "person", "traffic light"]}
    colors = [[9, 8, 7], [1, 2, 3]]
    path.write_text(json.dumps({"names": [*sources], "colors": colors, "sources": sources}))
    taken = set_all(segment, class_map=str(path))
    if name != "other":
        assert not taken.successful and "expected the name of a topic, got '~/mas" in taken.reason
    assert before <= mask_topics(segment) <= before | {"air"}
    now = play(ros, camera, mpeg4_packets[1:2], 2)
    assert len(now["labels"]) == len(now["masks/road"]) == 1


def test_colours_come_from_a_file_by_their_classes_names(
    ros, segment, connect, mpeg4_packets, decoded, tmp_path
):
    names = ["person", "car", "traffic light", "sky", "road"]
    colors = [[i, 2 * i, 3 * i] for i in range(5)]
    path = tmp_path / "colors.json"
    path.write_text(json.dumps({"names": names, "colors": colors}), encoding="utf-8")
    camera = connect("color_labels")
    assert set_all(segment, colors=str(path)).successful
    (shown,) = play(ros, camera, mpeg4_packets[:1])["color_labels"]
    assert (image(shown) == np.array(colors)[[4, 3, 2, 0]][decoded[0].y >> 6]).all()
    path.write_text(json.dumps({"names": names[:4], "colors": colors[:4]}), encoding="utf-8")
    refused = set_all(segment, colors=str(path), overlay_opacity=0.2)
    assert not refused.successful and "missing road" in refused.reason


def test_the_calibration_has_the_labels_header_and_size(
    ros, segment, published, connect, mpeg4_packets
):
    set_all(segment, output_scale=0.5)
    camera = connect("labels")
    received = []
    camera.create_subscription(CameraInfo, "segment/camera_info", received.append, 10)
    calibrations = camera.create_publisher(CameraInfo, "camera_info", 10)
    ros.spin_until(calibrations.get_subscription_count)
    ros.spin_until(published("camera_info").get_subscription_count)
    focal = [50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0]
    calibrations.publish(CameraInfo(width=64, height=48, k=focal))
    ros.spin_until(lambda: segment._camera_info._latest)
    play(ros, camera, mpeg4_packets[:1])
    ros.spin_until(lambda: received)
    (info,) = received
    assert info.header == camera.received["labels"][0].header
    assert (info.width, info.height) == (32, 24)
    assert info.k.tolist() == [25.0, 0.0, 15.5, 0.0, 25.0, 11.5, 0.0, 0.0, 1.0]


def test_the_classes_names_reach_those_who_come_later_and_follow_every_change(
    ros, segment, connect
):
    from vision_msgs.msg import LabelInfo  # of test/interfaces

    camera = connect("labels")
    assert set_all(segment, confidence_threshold=0.5).successful
    received = []
    camera.create_subscription(LabelInfo, "segment/label_info", received.append, LABEL_INFO_QOS)
    ros.spin_until(lambda: received)
    assert received[0].threshold == 0.5
    found = {kind.class_id: kind.class_name for kind in received[0].class_map}
    assert found == {0: "road", 1: "sky", 2: "traffic light", 3: "person", 255: "UNLABELED"}
    assert set_all(segment, confidence_threshold=0.25).successful
    ros.spin_until(lambda: len(received) == 2)
    assert received[1].threshold == 0.25


def test_without_vision_msgs_there_are_no_names_and_that_is_said(
    segment, published, monkeypatch, capfd
):
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", None)
    segment.start()
    assert not [p for p in segment.publishers if p.topic_name.endswith("label_info")]
    assert "no topic ~/label_info: expected vision_msgs/msg/LabelInfo" in capfd.readouterr().err
    assert published("labels")


def test_masks_come_and_go_with_their_parameter(ros, segment, published, connect, mpeg4_packets):
    camera = connect("masks", "masks/road")
    road = published("masks/road")
    assert mask_topics(segment) == {"road", "sky", "traffic_light", "person"}
    assert set_all(segment, mask_classes=["road", "person"]).successful
    assert mask_topics(segment) == {"road", "person"}
    assert road in list(segment.publishers)  # who listens to it goes on listening
    now = play(ros, camera, mpeg4_packets[:1])
    assert {mask.class_name for mask in now["masks"][0].masks} <= {"road", "person"}
    refused = set_all(segment, mask_classes=["road", "moon"], overlay_opacity=0.1)
    assert not refused.successful and "got moon" in refused.reason
    assert mask_topics(segment) == {"road", "person"}
    assert segment.get_parameter("overlay_opacity").value == 0.5
    assert set_all(segment, mask_classes=["all"]).successful
    assert mask_topics(segment) == {"road", "sky", "traffic_light", "person"}
