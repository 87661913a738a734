"""Parameters are described, bounded, in the configuration files, and read-only in use."""

from pathlib import Path

import pytest
import rclpy
import yaml
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from twnet_ros.nodes import setting, video_publisher
from twnet_ros.nodes.parameter import Parameter, Parameters

CONFIG = Path(__file__).parents[2] / "config"
TABLES = {"segment": setting.TABLE, "video_publisher": video_publisher.TABLE}
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


def test_an_empty_list_at_start_is_refused_by_name(ros):
    node = Node("owner", cli_args=["--ros-args", "-p", "few:=[]"])  # rcl gives it no type
    with pytest.raises(InvalidParameterValueException, match="at least one element.*few"):
        Parameters(node, LIVE)
    node.destroy_node()


def test_values_change_until_the_node_works_and_then_say_why_not(make_node):
    node = make_node()
    parameters = Parameters(node, TABLE)
    assert set_one(node, "count", 5).successful
    refused = set_one(node, "mode", "warp")
    assert not refused.successful and "slow, fast, got 'warp'" in refused.reason
    parameters.working = True
    refused = set_one(node, "count", 2)
    assert not refused.successful and "count is read-only after configuration" in refused.reason
    assert set_one(node, "use_sim_time", False).successful
    assert set_one(node, "count", 5).successful  # what it is: a dump can be loaded again
    assert parameters.values()["count"] == 5


class Changes:
    """Prepares every change but those to nine, which it refuses, and notes what was made."""

    def __init__(self):
        self.prepared, self.made = [], []

    def __call__(self, values, changed):
        self.prepared.append((values, changed))
        if values["fast"] == 9:
            raise {"ValueError": ValueError, "OSError": OSError}[values["how"]]("nine is too fast")
        return lambda: self.made.append(values)


LIVE = (
    *TABLE,
    Parameter("fast", 1, "How fast.", range=(0, 9), live=True),
    Parameter("how", "", "What a change raises.", live=True),
    Parameter("few", [1, 2], "A list.", live=True),
)


def test_live_values_change_while_the_node_works(make_node):
    node, changes = make_node(), Changes()
    parameters = Parameters(node, LIVE, changes)
    assert set_one(node, "fast", 2).successful and not changes.prepared  # nothing works yet
    parameters.working = True
    assert set_one(node, "fast", 3).successful
    assert set_one(node, "few", [1, 3]).successful
    assert [changed for _, changed in changes.prepared] == [{"fast"}, {"few"}]
    assert [(made["fast"], made["few"]) for made in changes.made] == [(3, [1, 2]), (3, [1, 3])]
    assert set_one(node, "few", [1, 3]).successful
    assert set_one(node, "use_sim_time", False).successful
    assert len(changes.prepared) == 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [("ValueError", "nine is too fast"), ("OSError", "OSError: nine is too fast")],
)
def test_a_set_is_made_whole_or_refused_whole(error, reason, make_node):
    node, changes = make_node(how=error), Changes()
    parameters = Parameters(node, LIVE, changes)
    parameters.working = True

    def set_all(**values):
        given = [RosParameter(name, value=value) for name, value in values.items()]
        return node.set_parameters_atomically(given)

    before = parameters.values()
    refused = set_all(few=[5], fast=9)
    assert not refused.successful and refused.reason == reason
    refused = set_all(fast=2, count=1)
    assert not refused.successful and "count is read-only" in refused.reason
    refused = set_all(fast=2, few=[3], mode="warp")
    assert not refused.successful and "got 'warp'" in refused.reason
    assert parameters.values() == before and not changes.made
    assert set_all(fast=2, few=[3], count=3).successful
    assert [changed for _, changed in changes.prepared] == [{"fast", "few"}] * 2
    assert changes.made == [parameters.values()] == [before | {"fast": 2, "few": [3]}]


def test_a_change_that_fails_is_logged_and_the_next_one_is_made(make_node, capfd):
    made = []

    def prepare(values, changed):
        return lambda: made.append(1 / values["fast"])

    node = make_node()
    Parameters(node, LIVE, prepare).working = True
    assert set_one(node, "fast", 0).successful
    (error,) = [line for line in capfd.readouterr().err.splitlines() if "[ERROR]" in line]
    assert "failed: ZeroDivisionError: division by zero" in error
    assert set_one(node, "fast", 2).successful
    assert made == [0.5]


@pytest.mark.parametrize(("given", "taken"), [(1.0000005, 1.0), (0.9999995, 0.9999995)])
def test_what_rounding_puts_outside_a_range_is_its_end(given, taken, make_node):
    seen = []
    live = (*TABLE[:1], Parameter("share", 0.5, "How much.", range=(0.0, 1.0), live=True))
    node = make_node(share=given)
    parameters = Parameters(node, live, lambda values, changed: lambda: seen.append(values))
    assert parameters.values()["share"] == taken
    parameters.working = True
    assert set_one(node, "share", 0.5).successful
    assert set_one(node, "share", given).successful
    assert [values["share"] for values in seen] == [0.5, taken]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_finite_number_is_refused(value, make_node):
    node = make_node()
    Parameters(node, TABLE)
    assert not set_one(node, "share", value).successful


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
    lines = [line for line in lines if not line.startswith("    # ---")]
    assert len(lines) == len(values)
    assert all(len(line.partition("#")[2].split()) >= 3 for line in lines)


def test_the_configuration_file_draws_the_line_between_what_changes_live_and_what_does_not():
    above, below = (CONFIG / "segment.yaml").read_text(encoding="utf-8").split("# ----")
    for row in setting.TABLE:
        assert f"    {row.name}:" in (above if row.live else below), row.name


def test_the_configuration_file_reaches_a_node_in_any_namespace():
    args = ["--ros-args", "-r", "__ns:=/car/front", "--params-file", str(CONFIG / "segment.yaml")]
    context = rclpy.Context()
    rclpy.init(args=args, context=context)
    node = Node("segment", context=context, automatically_declare_parameters_from_overrides=True)
    assert node.get_parameter("queue_size").value == 30
    assert node.get_parameter("mask_classes").value == ["all"]
    node.destroy_node()
    context.shutdown()
