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

from twnet_ros.nodes import camera_info, intake
from twnet_ros.nodes.segment_node import NAME, SegmentNode, run
from twnet_ros.segment.device import share_threads

CAMERAS = "cameras"  # the node whose parameters name them
# Of its parameters <name>.<camera>: the topic that each is remapped to in the camera's node.
INPUT, INFO = "input", "camera_info"
TOPICS = {INPUT: intake.TOPIC, INFO: camera_info.TOPIC}
_TOKEN = re.compile(r"[A-Za-z_]\w*", re.ASCII)  # what a namespace is made of


def read_cameras() -> dict[str, dict[str, str]]:
    """Return what is remapped in each camera's node, by its namespace; all names are absolute.

    The topics are the parameters ``input.<camera>`` and, where the calibration does not lie beside
    it, ``camera_info.<camera>`` of a node ``cameras``, below whose namespace those of the cameras
    are; a relative topic is one of its camera's namespace. ValueError where there is no camera, or
    a topic that cannot be.
    """
    node = Node(
        CAMERAS,
        automatically_declare_parameters_from_overrides=True,
        start_parameter_services=False,
    )
    name, parent = node.get_fully_qualified_name(), node.get_namespace().rstrip("/")
    given = {one: node.get_parameters_by_prefix(one) for one in TOPICS}
    node.destroy_node()
    if not given[INPUT]:
        raise ValueError(
            f"expected a parameter {INPUT}.<camera> of {name} for each camera, its video's topic, "
            "got none"
        )
    found: dict[str, dict[str, str]] = {f"{parent}/{camera}": {} for camera in given[INPUT]}
    for one, topics in given.items():
        for camera, topic in topics.items():
            if not _TOKEN.fullmatch(camera):
                raise ValueError(
                    f"{one}: expected cameras named by letters, digits and underscores, as front, "
                    f"got {camera!r}"
                )
            namespace = f"{parent}/{camera}"
            if namespace not in found:
                raise ValueError(f"{one}.{camera}: expected {INPUT}.{camera}, too, got none")
            try:
                name = expand_topic_name(topic.value, NAME, namespace)
                validate_full_topic_name(name)
            except (TypeError, ValueError, InvalidTopicNameException) as error:
                raise ValueError(
                    f"{one}.{camera}: expected a topic, got {topic.value!r}"
                ) from error
            found[namespace][TOPICS[one]] = name
    return found


def make_node(namespace: str, topics: dict[str, str]) -> SegmentNode:
    """Return the node of a camera; ValueError for a parameter that cannot be."""
    # Rules of the node itself come before those of the process, which name every node in it.
    remapped = (f"{name}:={topic}" for name, topic in topics.items())
    rules = (f"__node:={NAME}", f"__ns:={namespace}", *remapped)
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
