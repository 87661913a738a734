"""The rooms import only what their table allows, and keep ROS out of what must run without it."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "twnet_ros"

ROS = {
    "ament_index_python",
    "builtin_interfaces",
    "cv_bridge",
    "diagnostic_msgs",
    "rcl_interfaces",
    "rclpy",
    "sensor_msgs",
    "std_msgs",
    "twnet_ros.msg",
}
# What each room may import besides the standard library, numpy and itself.
ALLOWED = {
    "codec": {"av"},
    "net": {"torch", "safetensors"},
    "segment": {"twnet_ros.codec", "twnet_ros.net", "torch", "cv2", "numba", "ptlflow"},
    "bag": {"twnet_ros.codec", "rosbags", "yaml"},
    "nodes": {"twnet_ros.codec", "twnet_ros.segment", "cv2"} | ROS,
    "learn": {
        "twnet_ros.codec",
        "twnet_ros.net",
        "twnet_ros.segment",
        "av",
        "cv2",
        "matplotlib",
        "torch",
        "tqdm",
        "yaml",
    },
}


def imports(file: Path):
    """Every module a file imports: ``twnet_ros.<room>`` for ours, else the top-level name."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            names = [node.module or ""]
            if node.module == "twnet_ros":
                names = [f"twnet_ros.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield ".".join(parts[:2]) if parts[0] == "twnet_ros" else parts[0]


def third_party(file: Path):
    """``imports`` without the standard library and numpy."""
    return {name for name in imports(file) if name not in {*sys.stdlib_module_names, "numpy"}}


@pytest.mark.parametrize("room", ALLOWED)
def test_room_imports_only_what_it_may(room):
    found = {
        f"{file.relative_to(SOURCE)} imports {name}"
        for file in SOURCE.joinpath(room).rglob("*.py")
        for name in third_party(file) - ALLOWED[room] - {f"twnet_ros.{room}"}
    }
    assert not found


def test_within_learn_data_flows_one_way():
    parts = ("streets", "data", "evaluation", "training")
    found = {
        f"{file.relative_to(SOURCE)} imports {part}"
        for number, name in enumerate(parts)
        for file in SOURCE.joinpath("learn", name).rglob("*.py")
        for part in parts[number + 1 :]
        if f"twnet_ros.learn.{part}" in file.read_text(encoding="utf-8")
    }
    assert not found


def test_every_module_lies_in_a_room():
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir()}
    assert rooms - {"__pycache__"} == {*ALLOWED, "classes", "cli", "models"}
    assert {path.name for path in SOURCE.glob("*.py")} == {"__init__.py"}


def test_top_level_package_holds_no_code():
    assert SOURCE.joinpath("__init__.py").read_text() == ""


def run_python(code: str, path: Path):
    """Run code in a fresh interpreter that finds twnet_ros in ``path`` only."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=path
    )


@pytest.mark.parametrize("room", ["codec", "net", "segment", "bag", "learn", "cli"])
def test_room_does_not_load_ros(room):
    code = f"import sys, twnet_ros.{room}; assert 'rclpy' not in sys.modules"
    result = run_python(code, SOURCE.parent)
    assert result.returncode == 0, result.stderr


def test_nodes_without_built_messages_say_what_to_do():
    result = run_python("import twnet_ros.nodes", SOURCE.parent)
    assert result.returncode != 0
    assert "source install/local_setup.bash" in result.stderr.splitlines()[-1]
