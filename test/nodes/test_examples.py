"""The examples for ROS 2 that the documents show."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Bool, Header

from twnet_ros.codec import ClipEncoder, StreamDecoder
from twnet_ros.msg import ClassMasks
from twnet_ros.nodes.conversion import encode_masks
from twnet_ros.nodes.label_info import UNLABELLED_NAME
from twnet_ros.nodes.output import TOPICS
from twnet_ros.segment import CAMVID, CITYSCAPES, read_remapping

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def react():
    return load("react_to_masks")


def masks(labels):
    names = ["road", "person", "rider"]
    return encode_masks(np.asarray(labels, np.uint8), names, range(len(names)), Header())


def test_the_share_is_of_the_lower_middle_and_of_all_classes_asked_for(react):
    labels = np.zeros((8, 12), np.uint8)  # the lower middle is rows 4 to 7, columns 4 to 7
    labels[4:6, 4] = 1
    labels[7, 5:7] = 2
    labels[:4] = 1
    labels[4:, :4] = labels[4:, 8:] = 2
    assert react.share_ahead(masks(labels), ["person"]) == 2 / 16
    assert react.share_ahead(masks(labels), ["person", "rider"]) == 4 / 16
    assert react.share_ahead(masks(labels), ["car"]) == 0
    assert react.share_ahead(masks(np.zeros((8, 12))), ["person"]) == 0


def test_the_watcher_tells_each_frame_and_warns_when_it_begins(react, ros, capfd):
    watcher = ros.add(react.Watcher())
    assert watcher.set_parameters([Parameter("share", value=0.5)])[0].successful
    told = []
    watcher.create_subscription(
        Bool, "~/person_ahead", lambda message: told.append(message.data), 10
    )
    publisher = watcher.create_publisher(ClassMasks, "masks", 10)
    ros.spin_until(publisher.get_subscription_count)
    for person in (0, 1, 1, 0):
        publisher.publish(masks(np.full((8, 12), person)))
    ros.spin_until(lambda: len(told) == 4)
    assert told == [False, True, True, False]
    assert capfd.readouterr().err.count("people fill 100.0% of what is ahead") == 1


def test_a_network_cameras_packets_are_published_with_the_headers_told_beforehand(
    ros, pan_over, tmp_path
):
    encoder = ClipEncoder("h264", 96, 64, gop=3)
    frames = pan_over(6, width=96, height=64, square=8, blur=4)
    packets = [packet.data for rgb in frames for packet in encoder.encode(rgb)]
    packets += [packet.data for packet in encoder.flush()]
    parameter_sets = re.compile(rb"(?s)\x00\x00\x00?\x01[\x67\x68].*?(?=\x00\x00\x00?\x01)")
    packets[3], taken = parameter_sets.subn(b"", packets[3])
    assert taken == 2  # told in the beginning, and not again
    stream = tmp_path / "camera.h264"  # read as a camera is, but for the network
    stream.write_bytes(b"".join(packets))
    camera = ros.add(load("network_camera").NetworkCamera())
    camera.set_parameters([Parameter("url", value=str(stream)), Parameter("frame_id", value="a")])
    heard = []
    camera.create_subscription(CompressedImage, "video", heard.append, 30)
    (publisher,) = (one for one in camera.publishers if one.topic_name.endswith("/video"))
    ros.spin_until(publisher.get_subscription_count)
    assert camera.play() == "the camera ended its stream"
    ros.spin_until(lambda: len(heard) == 6)
    assert all(message.header.stamp.sec for message in heard)
    assert {message.header.frame_id for message in heard} == {"a"}
    decoder = StreamDecoder(heard[0].format)
    later = [message.data.tobytes() for message in heard[3:]]  # for whoever comes then
    found = [frame for data in later for frame in decoder.decode(data)] + decoder.flush()
    assert [(frame.key, frame.intact) for frame in found] == [
        (True, True),
        (False, True),
        (False, True),
    ]


@pytest.fixture(scope="module")
def layer():
    text = (EXAMPLES / "nav2_semantic_layer.yaml").read_text(encoding="utf-8")
    costmap = yaml.safe_load(text)["local_costmap"]["local_costmap"]["ros__parameters"]
    return costmap["semantic_layer"]["front"]


def test_the_costmap_listens_to_topics_that_there_are(layer):
    topics = {name: topic for name, topic in layer.items() if name.endswith("_topic")}
    assert topics.pop("pointcloud_topic").startswith("/camera/")
    assert topics.pop("labels_topic") == "/segment/label_info"
    assert {topic.replace("/segment", "~") for topic in topics.values()} <= set(TOPICS)


@pytest.mark.parametrize("classes", [CITYSCAPES, CAMVID], ids=["cityscapes", "camvid"])
def test_the_costmap_knows_every_class_once(layer, classes):
    known = [name for kind in layer["class_types"] for name in layer[kind]["classes"]]
    names = read_remapping("driving", classes.names).class_set.names
    assert sorted(known) == sorted([*names, UNLABELLED_NAME])
