"""Start the segment node on one topic of compressed video."""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare


def generate_launch_description() -> LaunchDescription:
    """Return the node with its arguments; `ros2 launch -s` lists them."""
    params_file = PathJoinSubstitution([FindPackageShare("twnet_ros"), "config", "segment.yaml"])
    arguments = (
        ("input", "video", "topic of the compressed video, in any of the node's message types"),
        ("model", "", "shipped model or checkpoint file; empty: as in params_file"),
        ("device", "", "auto, cpu, cuda or cuda:N; empty: as in params_file"),
        ("params_file", params_file, "file with the node's parameters"),
        ("namespace", "", "namespace of the node and of its topics"),
        ("use_sim_time", "false", "take the time from /clock: true or false"),
        ("log_level", "info", "least severe messages that are shown: debug, info, warn, error"),
    )
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in arguments
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_start_node)])


def _start_node(context: LaunchContext) -> list[Node]:
    argument = {name: LaunchConfiguration(name) for name in ("input", "params_file", "log_level")}
    given = {name: LaunchConfiguration(name).perform(context) for name in ("model", "device")}
    overrides = {
        name: ParameterValue(text, value_type=str) for name, text in given.items() if text
    }
    overrides["use_sim_time"] = ParameterValue(
        LaunchConfiguration("use_sim_time"), value_type=bool
    )
    node = Node(
        package="twnet_ros",
        executable="segment_node",
        name="segment",
        namespace=LaunchConfiguration("namespace"),
        parameters=[argument["params_file"], overrides],
        remappings=[("video", argument["input"])],
        ros_arguments=["--log-level", argument["log_level"]],
        output="screen",
        emulate_tty=True,
    )
    return [node]
