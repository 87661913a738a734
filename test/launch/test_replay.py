"""replay.launch.py: a bag played through the segment node."""

from pathlib import Path


def test_every_argument_is_described(launch):
    arguments = launch("replay").arguments
    assert list(arguments) == ["bag", "loop", "rate", "delay", "input", "model", "rviz"]
    assert all(arguments.values())


def test_the_shipped_drive_is_played_on_its_clock(launch):
    node, player = launch("replay").started
    bag = Path(player.cmd[3])
    assert bag.parts[-4:] == ("share", "twnet_ros", "bags", "street")
    assert (bag / "metadata.yaml").is_file()
    assert player.cmd[:3] == ["ros2", "bag", "play"]
    assert player.cmd[4:] == [
        "--clock",
        "--rate",
        "1.0",
        "--delay",
        "10.0",
        "--disable-keyboard-controls",
    ]
    assert (node.package, node.executable) == ("twnet_ros", "segment_node")
    assert node.remappings == [("video", "/camera/image/compressed")]
    assert node.parameters[1] == {"model": "streets-mobilenetv1-layer1", "use_sim_time": True}


def test_arguments_reach_the_player(launch):
    _, player = launch("replay", bag="/drive", loop="true", rate="0.5", delay="3").started
    assert player.cmd[3:] == [
        "/drive",
        "--clock",
        "--rate",
        "0.5",
        "--delay",
        "3",
        "--disable-keyboard-controls",
        "--loop",
    ]


def test_arguments_reach_the_node_those_of_segment_launch_too(launch):
    given = {"input": "/video", "model": "mine", "device": "cuda", "namespace": "car"}
    node, _ = launch("replay", **given).started
    assert node.remappings == [("video", "/video")] and node.namespace == "car"
    assert node.parameters[1] == {"model": "mine", "device": "cuda", "use_sim_time": True}


def test_rviz_runs_on_the_bags_clock(launch):
    _, rviz, _ = launch("replay", rviz="true").started
    assert rviz.executable == "rviz2" and rviz.parameters == [{"use_sim_time": True}]
