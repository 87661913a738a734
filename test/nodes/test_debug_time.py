"""The times of labelled frames, as they arrive on Autoware's topics."""

import math
import sys

import numpy as np
import pytest
from autoware_internal_debug_msgs.msg import Float64Stamped
from rclpy.logging import LoggingSeverity
from rclpy.node import Node

from twnet_ros.codec import FrameKind
from twnet_ros.nodes.conversion import status_message
from twnet_ros.nodes.debug_time import TIMES, DebugTimes
from twnet_ros.nodes.ticket import Ticket
from twnet_ros.segment import Path, Segmentation


@pytest.fixture
def node(ros):
    return ros.add(Node("segment"))


@pytest.fixture
def listen(ros, node):
    """Subscribe to some of the times and wait until their publisher knows."""
    listener = ros.add(Node("listener"))

    def listen(*names):
        received = {name: [] for name in names}
        publishers = {publisher.topic_name: publisher for publisher in node.publishers}
        for name in names:
            topic = f"{node.get_fully_qualified_name()}/debug/{name}"
            listener.create_subscription(Float64Stamped, topic, received[name].append, 10)
            ros.spin_until(publishers[topic].get_subscription_count)
        return received

    return listen


def publish(times, arrival_s, now_s, stamp_ns=5_000_000_000, labelled=True):
    """A frame that is labelled 125 ms after its stamp."""
    ticket = Ticket(None, stamp_ns, arrival_s, decode_ms=4.0)
    if labelled:
        labels = np.zeros((2, 2), np.uint8)
        times_ms = {"input": 2.0, "network": 30.0, "output": 3.5}
        ticket.segmentation = Segmentation(labels, 0, 0, FrameKind.P, Path.KEY, 0, times_ms)
    times.publish(ticket, status_message(ticket, 5_125_000_000, now_s))


def test_the_times_of_each_labelled_frame(ros, node, listen):
    times = DebugTimes(node)
    received = listen(*TIMES)
    publish(times, 100.0, 100.0625)
    publish(times, 100.05, 100.075, labelled=False)
    publish(times, 100.1, 100.1875)
    ros.spin_until(lambda: len(received["processing_time/postprocess_ms"]) == 2)
    data = {name: [message.data for message in messages] for name, messages in received.items()}
    assert data == {
        "processing_time_ms": [39.5, 39.5],
        "cyclic_time_ms": [pytest.approx(125.0)],
        "pipeline_latency_ms": [125.0, 125.0],
        "processing_time/preprocess_ms": [2.0, 2.0],
        "processing_time/inference_ms": [30.0, 30.0],
        "processing_time/postprocess_ms": [3.5, 3.5],
    }
    now = node.get_clock().now().nanoseconds
    stamp = received["processing_time_ms"][0].stamp
    assert 0 <= now - (stamp.sec * 10**9 + stamp.nanosec) < 60 * 10**9
    times.close()


def test_without_a_stamp_there_is_no_latency(ros, node, listen):
    times = DebugTimes(node)
    received = listen("pipeline_latency_ms", "processing_time_ms")
    publish(times, 100.0, 100.0625, stamp_ns=0)
    publish(times, 100.1, 100.1625)
    ros.spin_until(lambda: len(received["processing_time_ms"]) == 2)
    ros.spin_until(lambda: received["pipeline_latency_ms"])
    assert len(received["pipeline_latency_ms"]) == 1
    assert not any(math.isnan(m.data) for messages in received.values() for m in messages)
    times.close()


def test_topics_and_types_are_those_of_autoware(ros, node):
    times = DebugTimes(node)
    own = f"{node.get_fully_qualified_name()}/debug/"
    found = {p.topic_name: p.msg_type for p in node.publishers if p.topic_name.startswith(own)}
    assert found == {f"{own}{name}": Float64Stamped for name in TIMES}
    times.close()
    assert not [p for p in node.publishers if p.topic_name.startswith(own)]


def test_nothing_is_published_for_nobody(node, monkeypatch):
    times = DebugTimes(node)

    def fail(**fields):
        raise AssertionError("made for nobody")

    monkeypatch.setattr(times, "_message", fail)
    publish(times, 100.0, 100.0625)
    times.close()
    publish(times, 100.1, 100.1625)  # nor after it is closed


def test_without_autowares_messages_there_are_no_topics_and_that_is_said(node, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "autoware_internal_debug_msgs.msg", None)
    node.get_logger().set_level(LoggingSeverity.DEBUG)
    before = len(list(node.publishers))
    times = DebugTimes(node)
    publish(times, 100.0, 100.0625)
    assert len(list(node.publishers)) == before
    said = capfd.readouterr().err
    assert (
        said.count("expected autoware_internal_debug_msgs/msg/Float64Stamped, got no") == 1
        and "DEBUG" in said
    )
    times.close()
