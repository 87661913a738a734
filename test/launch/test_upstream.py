"""The launch files under ROS 2's own launch system, where that is installed."""

import importlib.util
import os
import signal
import subprocess
import time

import pytest
import rclpy
from lifecycle_msgs.srv import GetState

if importlib.util.find_spec("launch_ros") is None:
    REASON = "launch_ros is not installed; PyPI does not have it"
    if os.environ.get("TWNET_REQUIRE_LAUNCH") == "1":
        pytest.fail(REASON)
    pytest.skip(REASON, allow_module_level=True)

STARTS_S = 60  # far more than it takes; only a test that fails waits for it


@pytest.mark.parametrize("name", ["segment", "replay", "multi_camera"])
def test_ros2_launch_shows_every_argument(launch, name):
    command = ["ros2", "launch", "twnet_ros", f"{name}.launch.py", "--show-args"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for argument in launch(name).arguments:
        assert f"'{argument}':" in shown


@pytest.mark.parametrize(
    ("name", "arguments", "node", "state"),
    [
        ("segment", ["autostart:=false"], "segment", "unconfigured"),
        ("multi_camera", [], "front/segment", "active"),
        ("replay", ["delay:=600"], "segment", "active"),
    ],
)
def test_ros2_launch_starts_the_node_and_ends_it(name, arguments, node, state):
    command = ["ros2", "launch", "twnet_ros", f"{name}.launch.py", "namespace:=launched"]
    process = subprocess.Popen([*command, *arguments])
    rclpy.init()
    try:
        manager = rclpy.create_node("manager")
        client = manager.create_client(GetState, f"/launched/{node}/get_state")
        assert client.wait_for_service(STARTS_S)
        deadline, label = time.monotonic() + STARTS_S, ""
        while label != state and time.monotonic() < deadline:
            answer = client.call_async(GetState.Request())
            rclpy.spin_until_future_complete(manager, answer, timeout_sec=STARTS_S)
            label = answer.result().current_state.label
        assert label == state
        manager.destroy_node()
    finally:
        rclpy.try_shutdown()
        process.send_signal(signal.SIGINT)
        process.wait(STARTS_S)
