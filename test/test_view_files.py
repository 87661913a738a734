"""The views for RViz and Foxglove show topics that a segment node has, of a type they can show."""

import json
from pathlib import Path

import pytest
import yaml

from twnet_ros.msg import FrameStatus
from twnet_ros.nodes import output
from twnet_ros.nodes.conversion import topic_token
from twnet_ros.segment import CAMVID, CITYSCAPES

CONFIG = Path(__file__).parents[1] / "config"
IMAGE, COMPRESSED, INFO = (
    f"sensor_msgs/{name}" for name in ("Image", "CompressedImage", "CameraInfo")
)
# Topics of a segment node, below its name.
TOPICS = {
    topic.removeprefix("~/"): f"{kind.__module__.partition('.')[0]}/{kind.__name__}"
    for topic, kind in {**output.TOPICS, "~/status": FrameStatus}.items()
}
# Masks that every shipped model has.
TOKENS = [{topic_token(name) for name in kind.names} for kind in (CITYSCAPES, CAMVID)]
TOPICS |= {f"masks/{token}": IMAGE for token in set.intersection(*TOKENS)}


@pytest.fixture(scope="module")
def rviz():
    return yaml.safe_load((CONFIG / "segment.rviz").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def foxglove():
    return json.loads((CONFIG / "foxglove.json").read_text(encoding="utf-8"))


def test_rviz_shows_what_a_node_in_its_namespace_publishes(rviz):
    displays = rviz["Visualization Manager"]["Displays"]
    shown, enabled = set(), set()
    for display in displays:
        assert display["Class"] in {"rviz_default_plugins/Image", "rviz_default_plugins/Camera"}
        topic = display["Topic"]["Value"]
        # image_transport is told the transport by a topic's last part, and adds it itself.
        expected = COMPRESSED if topic.endswith("/compressed") else IMAGE
        assert topic.startswith("segment/"), "relative, so that a namespace applies"
        assert TOPICS[topic.removeprefix("segment/")] == expected
        assert display["Enabled"] is display["Value"]
        shown.add(topic.removeprefix("segment/"))
        if display["Enabled"]:
            enabled.add(topic.removeprefix("segment/"))
    assert {"overlay/compressed", "color_labels", "motion", "residual"} < enabled
    assert any(topic.startswith("masks/") for topic in enabled)
    assert "labels" in shown


def test_rviz_receives_reliably_as_the_node_sends(rviz):
    for display in rviz["Visualization Manager"]["Displays"]:
        qos = {key: value for key, value in display["Topic"].items() if key != "Value"}
        assert qos == {
            "Depth": 5,
            "Durability Policy": "Volatile",
            "History Policy": "Keep Last",
            "Reliability Policy": "Reliable",
        }


def test_rviz_finds_the_camera_info_beside_the_cameras_image(rviz):
    displays = rviz["Visualization Manager"]["Displays"]
    (camera,) = (one for one in displays if one["Class"] == "rviz_default_plugins/Camera")
    parent, _, _ = camera["Topic"]["Value"].rpartition("/")
    assert f"{parent}/camera_info" == "segment/camera_info" and TOPICS["camera_info"] == INFO


def test_rviz_places_every_pane(rviz):
    geometry = rviz["Window Geometry"]
    # Qt's state of a main window names its docks in big-endian UTF-16.
    state = bytes.fromhex(geometry["QMainWindow State"])
    names = [one["Name"] for one in rviz["Visualization Manager"]["Displays"]]
    names += [panel["Name"] for panel in rviz["Panels"]]
    assert len(set(names)) == len(names)
    for name in names:
        assert geometry[name] == {"collapsed": False}
        assert name.encode("utf-16-be") in state


def leaves(layout):
    """Return the panels of a layout's tree of splits."""
    if isinstance(layout, str):
        return [layout]
    assert layout["direction"] in {"row", "column"} and 0 < layout["splitPercentage"] < 100
    return leaves(layout["first"]) + leaves(layout["second"])


def test_foxglove_lays_out_each_panel_once(foxglove):
    assert sorted(leaves(foxglove["layout"])) == sorted(foxglove["configById"])


def test_foxglove_shows_the_nodes_pictures(foxglove):
    shown = {
        config["imageMode"]["imageTopic"].removeprefix("/segment/")
        for panel, config in foxglove["configById"].items()
        if panel.startswith("Image!")
    }
    assert shown == {"overlay/compressed", "color_labels", "motion", "residual"}
    assert {TOPICS[topic] for topic in shown} == {IMAGE, COMPRESSED}
    overlay = foxglove["configById"]["Image!overlay"]["imageMode"]
    assert TOPICS[overlay["calibrationTopic"].removeprefix("/segment/")] == INFO


def test_foxglove_plots_fields_of_the_status(foxglove):
    series = [path for one in foxglove["configById"].values() for path in one.get("paths", ())]
    fields = FrameStatus.get_fields_and_field_types()
    assert "status" in TOPICS and len(series) > 5
    for path in series:
        topic, _, field = path["value"].partition(".")
        assert topic == "/segment/status" and field in fields


def test_foxglove_names_frame_types_and_paths_as_the_message_does(foxglove):
    paths = foxglove["configById"]["StateTransitions!status"]["paths"]
    named = {path["label"]: path["customStates"] for path in paths if "customStates" in path}
    constants = {
        "frame_type": {
            "I": FrameStatus.FRAME_I,
            "P": FrameStatus.FRAME_P,
            "B": FrameStatus.FRAME_B,
        },
        "path": {"key": FrameStatus.PATH_KEY, "non-key": FrameStatus.PATH_NONKEY},
    }
    assert named.keys() == constants.keys()
    for field, states in named.items():
        got = {state["label"]: int(state["value"]) for state in states["states"]}
        assert got == {"none": 0} | constants[field]
