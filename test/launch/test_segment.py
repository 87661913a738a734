"""segment.launch.py: one segment node, and RViz if asked."""

import subprocess
import sys
from pathlib import Path

import pytest
import rclpy
import yaml
from ament_index_python.packages import get_package_prefix, get_package_share_directory
from lifecycle_msgs.srv import GetState

SHARE = get_package_share_directory("twnet_ros")
STARTS_S = 60  # far more than it takes; only a test that fails waits for it


def test_every_argument_is_described(launch):
    arguments = launch("segment").arguments
    assert list(arguments) == [
        "input",
        "model",
        "device",
        "camera_info",
        "params_file",
        "namespace",
        "autostart",
        "use_sim_time",
        "log_level",
        "fastdds_profiles",
        "rviz",
    ]
    assert all(arguments.values())


def test_without_arguments_the_parameter_file_decides(launch):
    (node,) = launch("segment").started
    assert node.kind == "LifecycleNode"
    assert (node.package, node.executable, node.name) == ("twnet_ros", "segment_node", "segment")
    assert node.namespace == ""
    assert node.parameters == [f"{SHARE}/config/segment.yaml"]
    assert node.remappings == [("video", "video")]
    assert node.ros_arguments == ["--log-level", "info"]


def test_arguments_reach_the_node(launch, tmp_path):
    file = tmp_path / "mine.yaml"
    file.touch()
    (node,) = launch(
        "segment",
        input="/front/compressed",
        model="1234",
        device="cuda:1",
        camera_info="/calibration",
        params_file=str(file),
        namespace="car",
        autostart="false",
        use_sim_time="true",
        log_level="debug",
    ).started
    assert node.namespace == "car"
    # A model's name is a text, even where YAML would make a number of it.
    given = {"model": "1234", "device": "cuda:1", "camera_info": "/calibration"}
    given |= {"autostart": False, "use_sim_time": True}
    assert node.parameters == [str(file), given]
    assert node.remappings == [("video", "/front/compressed")]
    assert node.ros_arguments == ["--log-level", "debug"]


@pytest.mark.parametrize("name", ["typo.yaml", "~/segment.yaml", ""])
def test_without_its_parameter_file_no_node_is_started(launch, name):
    with pytest.raises(RuntimeError, match=f"params_file: expected a file .*, got '{name}'"):
        launch("segment", params_file=name)


def test_rviz_shows_the_same_namespace_on_the_same_clock(launch):
    given = {"rviz": "true", "namespace": "car", "use_sim_time": "true"}
    node, rviz = launch("segment", **given).started
    assert rviz.env == node.env  # it shows large images, too
    assert (rviz.package, rviz.executable, rviz.namespace) == ("rviz2", "rviz2", "car")
    assert rviz.arguments == ["-d", f"{SHARE}/config/segment.rviz"]
    assert Path(rviz.arguments[1]).is_file()
    assert rviz.parameters == [{"use_sim_time": True}]
    _, rviz = launch("segment", rviz="true").started
    assert rviz.parameters == []


PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


def profiles(launched):
    (node,) = launched.started
    (file,) = set(node.env.values())  # whichever Fast DDS it is
    return file


def test_large_images_have_shared_memory_unless_asked(launch):
    shipped = profiles(launch("segment"))
    assert shipped == f"{SHARE}/config/fastdds.xml" and Path(shipped).is_file()
    (node,) = launch("segment", fastdds_profiles="").started
    assert not node.env  # Fast DDS would look for a file without a name


@pytest.mark.parametrize(
    ("distribution", "variable"), [*zip(("kilted", "jazzy"), PROFILES, strict=True)]
)
def test_profiles_are_given_by_the_name_that_fast_dds_reads(
    launch, monkeypatch, distribution, variable
):
    """The older one, where the newer is read, too, makes Fast DDS warn."""
    monkeypatch.setenv("ROS_DISTRO", distribution)
    (node,) = launch("segment").started
    assert set(node.env) == {variable}


@pytest.mark.parametrize("variable", PROFILES)
def test_profiles_of_the_environment_stay(launch, monkeypatch, variable):
    monkeypatch.setenv(variable, "/mine.xml")
    assert profiles(launch("segment")) == "/mine.xml"
    assert launch("segment", fastdds_profiles="").started[0].env[variable] == ""


def command(node, folder):
    """Return the command that launch_ros makes of these settings; files of it go to a folder."""
    made = [f"{get_package_prefix(node.package)}/lib/{node.package}/{node.executable}"]
    made += ["--ros-args", *node.ros_arguments]
    made += ["-r", f"__node:={node.name}", "-r", f"__ns:=/{node.namespace}"]
    for one in node.parameters:
        if isinstance(one, dict):
            name = f"/{node.namespace}/{node.name}"
            file = folder / f"{len(made)}.yaml"
            file.write_text(yaml.safe_dump({name: {"ros__parameters": one}}))
            one = str(file)
        made += ["--params-file", one]
    for pair in node.remappings:
        made += ["-r", ":=".join(pair)]
    return made


def test_without_autostart_the_node_waits_unconfigured_for_a_manager(launch, tmp_path):
    (node,) = launch("segment", autostart="false", namespace="managed").started
    process = subprocess.Popen([sys.executable, *command(node, tmp_path)])
    rclpy.init()
    try:
        manager = rclpy.create_node("manager")
        client = manager.create_client(GetState, "/managed/segment/get_state")
        assert client.wait_for_service(STARTS_S)
        answer = client.call_async(GetState.Request())
        rclpy.spin_until_future_complete(manager, answer, timeout_sec=STARTS_S)
        assert answer.result().current_state.label == "unconfigured"
        manager.destroy_node()
    finally:
        rclpy.try_shutdown()
        process.terminate()
        process.wait(STARTS_S)
