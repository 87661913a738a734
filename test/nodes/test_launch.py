"""The launch file, where ROS 2's launch system is installed (PyPI does not have it)."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is not installed")

from launch import LaunchContext  # noqa: E402
from launch.actions import DeclareLaunchArgument, OpaqueFunction  # noqa: E402

FILE = Path(__file__).parents[2] / "launch" / "segment.launch.py"


@pytest.fixture
def description():
    spec = importlib.util.spec_from_file_location("segment_launch", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


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
