"""The example of a policy for SROS 2 allows what the nodes have, and nothing else."""

from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree

import pytest
from lifecycle_msgs.msg import TransitionEvent
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rclpy.parameter import Parameter

from twnet_ros.nodes import segment_node
from twnet_ros.nodes.segment_node import SegmentNode

POLICY = Path(__file__).parents[2] / "config" / "sros2_policy.xml"
CHILDREN = {
    "policy": {"enclaves"},
    "enclaves": {"enclave"},
    "enclave": {"profiles"},
    "profiles": {"profile"},
    "profile": {"topics", "services"},
    "topics": {"topic"},
    "services": {"service"},
    "topic": set(),
    "service": set(),
}
# Of a part of the graph: how the policy has it, and how a node is asked for another's.
PARTS = {
    ("topics", "publish"): Node.get_publisher_names_and_types_by_node,
    ("topics", "subscribe"): Node.get_subscriber_names_and_types_by_node,
    ("services", "reply"): Node.get_service_names_and_types_by_node,
    ("services", "request"): Node.get_client_names_and_types_by_node,
}


@pytest.fixture(scope="module")
def policy():
    return ElementTree.parse(POLICY).getroot()


@pytest.fixture
def allowed_to(policy, namespace):
    """Return what the policy allows a node, as names in this test's namespace."""

    def expand(name, node):
        if name.startswith("/"):
            return name
        return f"{namespace}/{node}{name[1:]}" if name.startswith("~/") else f"{namespace}/{name}"

    def allowed_to(node):
        profiles = policy.findall("enclaves/enclave/profiles/profile")
        (profile,) = (one for one in profiles if fnmatchcase(node, one.get("node")))
        assert profile.get("ns") == "/"
        allowed = {part: set() for part in PARTS}
        for rule in profile:
            for action, qualifier in rule.attrib.items():
                assert qualifier == "ALLOW"
                allowed[rule.tag, action] |= {expand(one.text, node) for one in rule}
        return allowed

    return allowed_to


@pytest.fixture
def compare(ros, namespace, allowed_to):
    """Compare what a node has, seen from another, with what its enclave allows."""
    watcher = ros.add(Node("watcher"))

    def used_by(node):
        found = {part: ask(watcher, node, namespace) for part, ask in PARTS.items()}
        return {part: {name for name, _ in pairs} for part, pairs in found.items()}

    def compare(node):
        ros.spin_until(lambda: (node, namespace) in watcher.get_node_names_and_namespaces())
        allowed = allowed_to(node)
        ros.spin_until(  # for what the policy allows and the node has not
            lambda: all(
                any(fnmatchcase(name, pattern) for name in names)
                for part, names in used_by(node).items()
                for pattern in allowed[part]
            )
        )
        for part, names in used_by(node).items():
            refused = {n for n in names if not any(fnmatchcase(n, p) for p in allowed[part])}
            assert not refused, part

    return compare


def test_the_policy_has_the_form_of_its_version(policy):
    assert (policy.tag, policy.attrib) == ("policy", {"version": "0.2.0"})
    for element in policy.iter():
        assert {child.tag for child in element} <= CHILDREN[element.tag]
        assert len(element) or not CHILDREN[element.tag]
    paths = [enclave.get("path") for enclave in policy.iter("enclave")]
    assert paths == ["/segment", "/video_publisher"]


def test_the_segment_node_may_do_what_it_does(ros, compare, monkeypatch, fake_segmenter):
    monkeypatch.setattr(segment_node.Segmenter, "load", lambda *args, **kwargs: fake_segmenter)
    segment = ros.add(SegmentNode())
    given = {"use_sim_time": True, "input_type": "compressed_image"}
    for name, value in given.items():
        assert segment.set_parameters([Parameter(name, value=value)])[0].successful
    segment.start()
    compare("segment")


def test_launch_may_follow_the_segment_nodes_lifecycle(ros, compare, policy):
    enclave = policy.find("enclaves/enclave[@path='/segment']")
    assert [one.get("node") for one in enclave.iter("profile")] == ["segment", "launch_ros_*"]
    launch = ros.add(Node("launch_ros_4711"))  # what launch_ros makes for a LifecycleNode
    launch.create_subscription(TransitionEvent, "segment/transition_event", print, 10)
    launch.create_client(ChangeState, "segment/change_state")
    compare("launch_ros_4711")


def test_the_video_publisher_may_do_what_it_does(run, compare, mpeg4_packets, tmp_path):
    clip = tmp_path / "clip.m4v"
    clip.write_bytes(b"".join(packet.data for packet in mpeg4_packets))
    run("video_publisher", file=clip, pace="status", use_sim_time=True)
    compare("video_publisher")
