"""multi_camera.launch.py: a segment node for each camera in one process, from one file."""

import subprocess
import sys
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_share_directory

from twnet_ros.nodes.segment_node import TABLE

SHARE = get_package_share_directory("twnet_ros")

# What the process makes of its arguments, as short as it can be: the cameras are the parameters
# ``input.<name>`` of a node of its own, below whose namespace each camera's node has its name's.
CAMERAS = """
import sys
import rclpy
from rclpy.node import Node

rclpy.init(args=sys.argv)
cameras = Node("cameras", automatically_declare_parameters_from_overrides=True)
for name, topic in cameras.get_parameters_by_prefix("input").items():
    own = ["-r", "__node:=segment", "-r", f"__ns:={cameras.get_namespace().rstrip('/')}/{name}"]
    own += ["-r", f"video:={topic.value}"]
    given = {"cli_args": ["--ros-args", *own]}
    node = Node("segment", **given, automatically_declare_parameters_from_overrides=True)
    values = {name: p.value for name, p in node.get_parameters_by_prefix("").items()}
    del values["start_type_description_service"]  # every node has it
    print(repr((node.get_fully_qualified_name(), node.resolve_topic_name("video"), values)))
"""


@pytest.fixture
def nodes():
    """Run what stands above with a process's settings; return (topic, parameters) by node."""

    def nodes(process):
        command = [sys.executable, "-c", CAMERAS, "--ros-args", *process.ros_arguments]
        if process.namespace:
            command += ["-r", f"__ns:=/{process.namespace}"]
        for one in process.parameters:
            if isinstance(one, dict):
                for name, value in one.items():
                    command += ["-p", f"{name}:={str(value).lower()}"]
            else:
                command += ["--params-file", one]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = [eval(line) for line in done.stdout.splitlines()]  # what stands above wrote it
        return {name: (topic, values) for name, topic, values in found}

    return nodes


def test_every_argument_is_described(launch):
    arguments = launch("multi_camera").arguments
    names = ["cameras", "namespace", "use_sim_time", "log_level", "fastdds_profiles", "rviz"]
    assert list(arguments) == names
    assert all(arguments.values())


def test_it_starts_one_process(launch):
    (process,) = launch("multi_camera").started
    assert (process.package, process.executable) == ("twnet_ros", "segment_cameras")
    assert process.name is None  # it would be every node's
    assert process.parameters == [f"{SHARE}/config/cameras.yaml"]
    assert process.ros_arguments == ["--log-level", "info"]
    assert process.env == {"FASTDDS_DEFAULT_PROFILES_FILE": f"{SHARE}/config/fastdds.xml"}


def test_the_shipped_file_names_a_node_for_each_camera(launch, nodes):
    found = nodes(*launch("multi_camera", use_sim_time="true").started)
    names = ("front", "left", "right", "rear")
    assert {name: topic for name, (topic, _) in found.items()} == {
        f"/{name}/segment": f"/{name}/image/compressed" for name in names
    }
    known = {parameter.name for parameter in TABLE} | {"use_sim_time"}
    for name, (_, values) in found.items():
        assert values["use_sim_time"] is True and values["model"] == "camvid-mobilenetv1-layer1"
        assert values.keys() <= known
        assert ("mask_classes" in values) is (name == "/front/segment")


def test_in_a_namespace_the_same_file_holds(launch, nodes, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "/**/cameras:\n  ros__parameters:\n    input: {door: /d, roof: /r}\n"
        "/**/segment:\n  ros__parameters: {skip: true, queue_size: 7, use_sim_time: true}\n"
        "/**/roof/segment:\n  ros__parameters: {skip: false}\n"
    )
    found = nodes(*launch("multi_camera", cameras=str(file), namespace="car").started)
    assert found.keys() == {"/car/door/segment", "/car/roof/segment"}
    for name, topic, skip in (("door", "/d", True), ("roof", "/r", False)):
        got, values = found[f"/car/{name}/segment"]
        assert got == topic and values["queue_size"] == 7 and values["skip"] is skip
        assert values["use_sim_time"] is True  # by the file: no argument is in its way


@pytest.mark.parametrize("name", ["typo.yaml", "~/cameras.yaml", ""])
def test_without_its_file_no_process_is_started(launch, name):
    with pytest.raises(RuntimeError, match=f"cameras: expected a file .*, got '{name}'"):
        launch("multi_camera", cameras=name)


@pytest.mark.parametrize("namespace, expected", [("", "front"), ("car", "car/front")])
def test_rviz_shows_one_camera(launch, namespace, expected):
    process, rviz = launch("multi_camera", rviz="front", namespace=namespace).started
    assert rviz.env == process.env  # it shows large images, too
    assert rviz.namespace == expected
    assert Path(rviz.arguments[1]).name == "segment.rviz"


@pytest.mark.parametrize(("none", "some"), [("false", "true"), ("False", "True"), ("0", "1")])
def test_rviz_is_no_switch_here(launch, none, some):
    (process,) = launch("multi_camera", rviz=none).started
    assert process.executable == "segment_cameras"
    with pytest.raises(RuntimeError, match=f"rviz: expected the name of a camera.*'{some}'"):
        launch("multi_camera", rviz=some)
