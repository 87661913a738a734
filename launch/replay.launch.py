"""Play a bag through the segment node, on the bag's own clock."""

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare


def generate_launch_description() -> LaunchDescription:
    """Return the node and the player with their arguments; ``ros2 launch -s`` lists them.

    What else segment.launch.py takes, as device and params_file, is handed on to it.
    """
    share = FindPackageShare("twnet_ros")
    street = PathJoinSubstitution([share, "bags", "street"])
    arguments = (
        ("bag", street, "rosbag2 folder or file to play, default: a rendered street drive"),
        ("loop", "false", "begin again at the end: true or false"),
        ("rate", "1.0", "speed of playing, 2.0 is twice as fast as it was recorded"),
        ("delay", "10.0", "seconds before playing, for the node to load its model; above 0"),
        ("input", "/camera/image/compressed", "topic of the bag that has the video"),
        ("model", "streets-mobilenetv1-layer1", "shipped model or checkpoint file"),
        ("rviz", "false", "show what the node publishes in RViz: true or false"),
    )
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in arguments
    ]
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(
            PathJoinSubstitution([share, "launch", "segment.launch.py"])
        ),
        launch_arguments=[
            ("input", LaunchConfiguration("input")),
            ("model", LaunchConfiguration("model")),
            ("rviz", LaunchConfiguration("rviz")),
            ("use_sim_time", "true"),
        ],
    )
    return LaunchDescription([*declared, node, OpaqueFunction(function=_play)])


def _play(context: LaunchContext) -> list[ExecuteProcess]:
    bag, rate, delay = (LaunchConfiguration(name) for name in ("bag", "rate", "delay"))
    # The bag comes first: behind --clock it would be taken for a frequency. The delay is not
    # repeated in a loop (Jazzy and later). Without a terminal there are no keys to read.
    options = ["--clock", "--rate", rate, "--delay", delay, "--disable-keyboard-controls"]
    if IfCondition(LaunchConfiguration("loop")).evaluate(context):
        options.append("--loop")
    return [ExecuteProcess(cmd=["ros2", "bag", "play", bag, *options], output="screen")]
