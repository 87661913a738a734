"""Parameters are described, bounded, in the configuration files, and read-only in use."""

from pathlib import Path

import pytest
import rclpy
import yaml
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from twnet_ros.nodes import segment_node, video_publisher
from twnet_ros.nodes.parameter import Parameter, Parameters

CONFIG = Path(__file__).parents[2] / "config"
TABLES = {"segment": segment_node.TABLE, "video_publisher": video_publisher.TABLE}
TABLE = (
    Parameter("count", 3, "How many.", range=(1, 5)),
    Parameter("share", 0.5, "How much.", range=(0.0, 1.0)),
    Parameter("mode", "slow", "How.", choices=("slow", "fast")),
)


@pytest.fixture
def make_node(ros):
    nodes = []

    def make(**overrides):
        given = [RosParameter(name, value=value) for name, value in overrides.items()]
        nodes.append(Node("owner", parameter_overrides=given))
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()


def set_one(node, name, value):
    return node.set_parameters([RosParameter(name, value=value)])[0]


def test_values_are_the_defaults_and_what_is_given(make_node):
    parameters = Parameters(make_node(count=4), TABLE)
    assert parameters.values() == {"count": 4, "share": 0.5, "mode": "slow"}


def test_descriptors_say_meaning_range_and_choices(make_node):
    node = make_node()
    Parameters(node, TABLE)
    count, share, mode = node.describe_parameters(["count", "share", "mode"])
    assert count.description == "How many."
    assert (count.integer_range[0].from_value, count.integer_range[0].to_value) == (1, 5)
    assert share.floating_point_range[0].to_value == 1.0
    assert mode.additional_constraints == "one of slow, fast"


@pytest.mark.parametrize("override", [{"count": 6}, {"share": -0.1}, {"mode": "warp"}])
def test_a_value_out_of_range_is_refused_at_start(override, make_node):
    node = make_node(**override)
    with pytest.raises(InvalidParameterValueException, match=next(iter(override))):
        Parameters(node, TABLE)


def test_values_change_until_they_are_frozen_and_then_say_why_not(make_node):
    node = make_node()
    parameters = Parameters(node, TABLE)
    assert set_one(node, "count", 5).successful
    refused = set_one(node, "mode", "warp")
    assert not refused.successful and "slow, fast, got 'warp'" in refused.reason
    parameters.frozen = True
    refused = set_one(node, "count", 2)
    assert not refused.successful and "count is read-only after configuration" in refused.reason
    assert set_one(node, "use_sim_time", False).successful
    assert parameters.values()["count"] == 5


@pytest.mark.parametrize("name", TABLES)
def test_every_parameter_is_described_and_every_number_has_a_range(name):
    for row in TABLES[name]:
        assert row.description.endswith("."), row.name
        is_number = isinstance(row.default, int | float) and not isinstance(row.default, bool)
        assert (row.range is not None) == is_number, row.name


@pytest.mark.parametrize("name", TABLES)
def test_the_configuration_file_holds_every_default_and_explains_each_line(name):
    text = (CONFIG / f"{name}.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert values == {row.name: row.default for row in TABLES[name]}
    lines = [line for line in text.splitlines() if line.startswith("    ")]
    assert len(lines) == len(values)
    assert all(len(line.partition("#")[2].split()) >= 3 for line in lines)


def test_the_configuration_file_reaches_a_node_in_any_namespace():
    args = ["--ros-args", "-r", "__ns:=/car/front", "--params-file", str(CONFIG / "segment.yaml")]
    context = rclpy.Context()
    rclpy.init(args=args, context=context)
    node = Node("segment", context=context, automatically_declare_parameters_from_overrides=True)
    assert node.get_parameter("queue_size").value == 30
    assert node.get_parameter("mask_classes").value == ["all"]
    node.destroy_node()
    context.shutdown()
