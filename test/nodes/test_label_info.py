"""The names of the classes as others read them: by value, for whoever comes later, or why not."""

import sys

import pytest
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo

from twnet_ros.nodes.label_info import LABEL_INFO_QOS, label_info_message, load
from twnet_ros.segment import CITYSCAPES

# RIHS01 of the upstream definition, as rosidl generates it from ros-perception/vision_msgs.
UPSTREAM_HASH = "3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783"


def test_every_value_of_the_label_image_has_a_name():
    header = Header(frame_id="front")
    message = label_info_message(CITYSCAPES.names, 0.25, header)
    assert type(message) is load() is LabelInfo
    assert message.header == header
    assert message.threshold == 0.25
    found = {one.class_id: one.class_name for one in message.class_map}
    assert found == {**dict(enumerate(CITYSCAPES.names)), 255: "UNLABELED"}
    assert len(message.class_map) == 20


def test_a_late_subscriber_such_as_nav2_s_layer_gets_it(ros):
    """With the QoS that the layer subscribes with; and the type is upstream's on the wire."""
    node = ros.add(Node("labeller"))
    publisher = node.create_publisher(load(), "label_info", LABEL_INFO_QOS)
    publisher.publish(label_info_message(["road"], 0.0, Header()))
    asked = QoSProfile(
        depth=5,
        reliability=QoSReliabilityPolicy.RELIABLE,
        durability=QoSDurabilityPolicy.TRANSIENT_LOCAL,
    )
    received = []
    node.create_subscription(LabelInfo, "label_info", received.append, asked)
    ros.spin_until(lambda: received)
    assert [one.class_name for one in received[0].class_map] == ["road", "UNLABELED"]
    (offered,) = node.get_publishers_info_by_topic(publisher.topic_name)
    assert offered.topic_type == "vision_msgs/msg/LabelInfo"
    assert bytes(offered.topic_type_hash.value).hex() == UPSTREAM_HASH


def test_without_vision_msgs_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", None)
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    expected = "vision_msgs/msg/LabelInfo, got no.* ros-kilted-vision-msgs$"
    with pytest.raises(ImportError, match=expected):
        load()
