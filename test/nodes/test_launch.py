"""The launch file, where ROS 2's launch system is installed (PyPI does not have it)."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is not installed")

from launch import LaunchContext  # noqa: E402
from launch.actions import DeclareLaunchArgument, OpaqueFunction  # noqa: E402

FILE = Path(__file__).parents[2] / "launch" / "segment.launch.py"


@pytest.fixture
def module():
    spec = importlib.util.spec_from_file_location("segment_launch", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def description(module):
    return module.generate_launch_description()


@pytest.fixture
def start(module, monkeypatch):
    """Evaluate the description: what the launch file asks of the node, with `arguments` given."""
    monkeypatch.setattr(module, "Node", lambda **settings: settings)

    def start(**arguments):
        context = LaunchContext()
        context.launch_configurations.update(arguments)
        for entity in module.generate_launch_description().entities:
            if isinstance(entity, OpaqueFunction):
                (settings,) = entity.execute(context)
            else:
                entity.execute(context)

        def perform(value):
            return value if isinstance(value, str) else value.perform(context)

        file, given = settings["parameters"]
        return {
            "node": (settings["package"], settings["executable"], settings["name"]),
            "namespace": perform(settings["namespace"]),
            "file": perform(file),
            "given": {name: value.evaluate(context) for name, value in given.items()},
            "remappings": [tuple(map(perform, pair)) for pair in settings["remappings"]],
            "ros_arguments": [perform(part) for part in settings["ros_arguments"]],
        }

    return start


def test_every_argument_is_described(description):
    arguments = [e for e in description.entities if isinstance(e, DeclareLaunchArgument)]
    names = [argument.name for argument in arguments]
    assert names == [
        "input",
        "model",
        "device",
        "params_file",
        "namespace",
        "use_sim_time",
        "log_level",
    ]
    assert all(argument.description for argument in arguments)


def test_it_starts_one_segment_node(description):
    context = LaunchContext()
    for entity in description.entities:
        if isinstance(entity, OpaqueFunction):
            (node,) = entity.execute(context)
        else:
            entity.execute(context)
    assert node.node_package == "twnet_ros" and node.node_executable == "segment_node"


def test_without_arguments_the_parameter_file_decides(start):
    started = start()
    assert started["node"] == ("twnet_ros", "segment_node", "segment")
    assert started["namespace"] == ""
    assert Path(started["file"]).parts[-3:] == ("twnet_ros", "config", "segment.yaml")
    assert started["given"] == {"use_sim_time": False}
    assert started["remappings"] == [("video", "video")]
    assert started["ros_arguments"] == ["--log-level", "info"]


def test_arguments_reach_the_node(start):
    started = start(
        input="/front/compressed",
        model="1234",
        device="cuda:1",
        params_file="/mine.yaml",
        namespace="car",
        use_sim_time="true",
        log_level="debug",
    )
    assert started["namespace"] == "car"
    assert started["file"] == "/mine.yaml"
    # A model's name is a text, even where YAML would make a number of it.
    assert started["given"] == {"model": "1234", "device": "cuda:1", "use_sim_time": True}
    assert started["remappings"] == [("video", "/front/compressed")]
    assert started["ros_arguments"] == ["--log-level", "debug"]
