"""The launch file that plays a bag, where ROS 2's launch system is installed."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is not installed")

from launch import LaunchContext, LaunchDescription  # noqa: E402
from launch.actions import (  # noqa: E402
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetLaunchConfiguration,
)

FILE = Path(__file__).parents[2] / "launch" / "replay.launch.py"


@pytest.fixture
def module():
    spec = importlib.util.spec_from_file_location("replay_launch", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def start(module, monkeypatch):
    """Evaluate the description: the player's command, and the node that is included."""
    monkeypatch.setattr(module, "ExecuteProcess", lambda **settings: settings)

    def start(**arguments):
        context = LaunchContext()
        context.launch_configurations.update(arguments)
        command, nodes = [], []
        for entity in module.generate_launch_description().entities:
            made = entity.execute(context)
            if isinstance(entity, OpaqueFunction):
                (settings,) = made
                parts = settings["cmd"]
                command = [p if isinstance(p, str) else p.perform(context) for p in parts]
            elif isinstance(entity, IncludeLaunchDescription):
                for one in made:
                    if isinstance(one, SetLaunchConfiguration):
                        one.execute(context)
                    elif isinstance(one, LaunchDescription):
                        for inner in one.entities:
                            found = inner.execute(context)
                            nodes += found if isinstance(inner, OpaqueFunction) else []
        return command, nodes, context

    return start


def test_every_argument_is_described(module):
    entities = module.generate_launch_description().entities
    arguments = [e for e in entities if isinstance(e, DeclareLaunchArgument)]
    names = [argument.name for argument in arguments]
    assert names == ["bag", "loop", "rate", "delay", "input", "model"]
    assert all(argument.description for argument in arguments)


def test_the_shipped_drive_is_played_on_its_clock(start):
    command, (node,), context = start()
    bag = Path(command[3])
    assert bag.parts[-4:] == ("share", "twnet_ros", "bags", "street")
    assert (bag / "metadata.yaml").is_file()
    assert command[:3] == ["ros2", "bag", "play"]
    assert command[4:] == [
        "--clock",
        "--rate",
        "1.0",
        "--delay",
        "10.0",
        "--disable-keyboard-controls",
    ]
    assert (node.node_package, node.node_executable) == ("twnet_ros", "segment_node")
    assert context.launch_configurations["use_sim_time"] == "true"
    assert context.launch_configurations["model"] == "streets-mobilenetv1-layer1"
    assert context.launch_configurations["input"] == "/camera/image/compressed"


def test_arguments_reach_the_player_and_the_node(start):
    given = {"input": "/video", "model": "mine", "device": "cuda"}
    command, _, context = start(bag="/drive", loop="true", rate="0.5", delay="3", **given)
    assert command[3:] == [
        "/drive",
        "--clock",
        "--rate",
        "0.5",
        "--delay",
        "3",
        "--disable-keyboard-controls",
        "--loop",
    ]
    assert {name: context.launch_configurations[name] for name in given} == given
