#!/usr/bin/env python3
"""A segment node for each of several cameras, in one process, so that they share the weights."""

import re
import sys

import rclpy
from rclpy.exceptions import InvalidTopicNameException, ParameterException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.validate_full_topic_name import validate_full_topic_name

from twnet_ros.nodes.intake import TOPIC
from twnet_ros.nodes.segment_node import NAME, SegmentNode, run
from twnet_ros.segment.device import share_threads

CAMERAS = "cameras"  # the node whose parameters name them
INPUT = "input"
_TOKEN = re.compile(r"[A-Za-z_]\w*", re.ASCII)  # what a namespace is made of


def read_cameras() -> dict[str, str]:
    """Return the topic of each camera's video by the namespace of its node, both absolute.

    They are the parameters ``input.<camera>`` of a node ``cameras``, below whose namespace those
    of the cameras are; a relative topic is one of its camera's namespace. ValueError where there
    is none, or one that cannot be.
    """
    node = Node(
        CAMERAS,
        automatically_declare_parameters_from_overrides=True,
        start_parameter_services=False,
    )
    name, parent = node.get_fully_qualified_name(), node.get_namespace().rstrip("/")
    given = {one: value.value for one, value in node.get_parameters_by_prefix(INPUT).items()}
    node.destroy_node()
    if not given:
        raise ValueError(
            f"expected a parameter {INPUT}.<camera> of {name} for each camera, its video's topic, "
            "got none"
        )
    found = {}
    for camera, topic in given.items():
        if not _TOKEN.fullmatch(camera):
            raise ValueError(
                f"{INPUT}: expected cameras named by letters, digits and underscores, as front, "
                f"got {camera!r}"
            )
        namespace = f"{parent}/{camera}"
        try:
            found[namespace] = expand_topic_name(topic, NAME, namespace)
            validate_full_topic_name(found[namespace])
        except (TypeError, ValueError, InvalidTopicNameException) as error:
            raise ValueError(f"{INPUT}.{camera}: expected a topic, got {topic!r}") from error
    return found


def make_node(namespace: str, topic: str) -> SegmentNode:
    """Return the node of a camera; ValueError for a parameter that cannot be."""
    # Rules of the node itself come before those of the process, which name every node in it.
    rules = (f"__node:={NAME}", f"__ns:={namespace}", f"{TOPIC}:={topic}")
    arguments = [argument for rule in rules for argument in ("--remap", rule)]
    try:
        return SegmentNode(cli_args=["--ros-args", *arguments])
    except ParameterException as error:
        raise ValueError(f"{namespace}/{NAME}: {error}") from error


def main() -> int:
    """Run the cameras' nodes until the process is interrupted."""
    rclpy.init()
    try:
        cameras = read_cameras()
        share_threads(len(cameras))
        nodes = [make_node(*camera) for camera in cameras.items()]
    except ValueError as error:
        get_logger(CAMERAS).fatal(str(error))
        return 1
    run(nodes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
