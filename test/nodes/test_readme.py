"""README's tables are those of the code, and of a node that runs."""

import importlib.util
import re
from pathlib import Path

import pytest

from twnet_ros.nodes import setting, video_publisher

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LIFECYCLE = "~/transition_event"  # every managed node has it
EVERY_NODE = {"/rosout", "/parameter_events", "/clock"}


@pytest.fixture(scope="module")
def table():
    spec = importlib.util.spec_from_file_location("table", ROOT / "docs" / "table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(name):
    """Return the cells of each row of one of README's tables."""
    (text,) = re.findall(f"<!-- table: {name} -->\n(.*?)<!-- end -->", README, re.DOTALL)
    return [line.strip("| ").split(" | ") for line in text.splitlines()[2:]]


def test_the_tables_are_made_of_the_code(table):
    assert table.with_tables(README) == README, "`make tables` writes them anew"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("segment", setting.TABLE), ("video_publisher", video_publisher.TABLE)],
)
def test_every_parameter_has_its_row(name, parameters):
    named = [(cells[0].partition(" ")[0], "●" in cells[0]) for cells in rows(name)]
    assert named == [(f"`{one.name}`", one.live) for one in parameters]


def test_a_table_without_a_place_is_an_error(table):
    with pytest.raises(ValueError, match="expected one table between <!-- table: segment -->"):
        table.with_tables(README.replace("<!-- table: segment -->", ""))


def listed(direction):
    """Return README's topics, in or out, with their types; one for each name of ``…``."""
    found = {}
    for topic, types, text in rows("topics"):
        name = topic.partition("`")[2].partition("`")[0]
        if ("(in)" in topic) != (direction == "in"):
            continue
        names = [name]
        if name.endswith("…"):
            names = [name[:-1] + one for one in re.findall(r"`([\w/]+)`", text)]
        for one in names:
            found[one] = set(re.findall(r"`([\w/]+)`", types))
    return found


def test_the_topics_are_those_of_a_node_that_runs(ros, segment, namespace):
    segment.start()
    name = segment.get_name()

    def relative(topic):
        topic = topic.removeprefix(f"{namespace}/")
        topic = re.sub(rf"^{name}/", "~/", topic)
        return re.sub(r"^~/masks/\w+$", "~/masks/<class>", topic)

    def of_graph(ask):
        pairs = ask(name, namespace)
        kinds = {
            relative(topic): {t.replace("/msg/", "/") for t in types} for topic, types in pairs
        }
        return {topic: kinds[topic] for topic in kinds.keys() - EVERY_NODE - {LIFECYCLE}}

    out = listed("out")
    ros.spin_until(
        lambda: of_graph(segment.get_publisher_names_and_types_by_node).keys() >= out.keys()
    )
    assert of_graph(segment.get_publisher_names_and_types_by_node) == out
    # Which of its types ``video`` has depends on who publishes it: without anybody there is none.
    heard = of_graph(segment.get_subscriber_names_and_types_by_node)
    assert {"video": listed("in")["video"], **heard} == listed("in")
