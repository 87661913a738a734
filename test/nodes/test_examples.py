"""The examples for ROS 2 that the documents show."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import yaml
from rclpy.parameter import Parameter
from std_msgs.msg import Bool, Header

from twnet_ros.msg import ClassMasks
from twnet_ros.nodes.conversion import encode_masks
from twnet_ros.nodes.label_info import UNLABELLED_NAME
from twnet_ros.nodes.output import TOPICS
from twnet_ros.segment import CAMVID, CITYSCAPES, read_remapping

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(scope="module")
def react():
    spec = importlib.util.spec_from_file_location("react", EXAMPLES / "react_to_masks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
