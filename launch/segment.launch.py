"""Start the segment node on one topic of compressed video, and RViz if asked."""

import os
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

# Where Fast DDS looks for its profiles: from version 3 (Kilted) on, and before (Jazzy).
PROFILES, OLD_PROFILES = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
READ = OLD_PROFILES if os.environ.get("ROS_DISTRO") == "jazzy" else PROFILES
# Fast DDS warns of the old name: it is set only where it is read, or in the environment's place.
SET = {READ, *({PROFILES, OLD_PROFILES} & os.environ.keys())}
CONFIG = PathJoinSubstitution([FindPackageShare("twnet_ros"), "config"])


def generate_launch_description() -> LaunchDescription:
    """Return the node with its arguments; ``ros2 launch -s`` lists them."""
    shipped = PathJoinSubstitution([CONFIG, "fastdds.xml"])
    own = EnvironmentVariable(OLD_PROFILES, default_value=shipped)
    arguments = (
        ("input", "video", "topic of the compressed video, in any of the node's message types"),
        ("model", "", "shipped model or checkpoint file; empty: as in params_file"),
        ("device", "", "auto, cpu, cuda or cuda:N; empty: as in params_file"),
        ("camera_info", "", "topic of the calibration; empty: as in params_file"),
        ("params_file", PathJoinSubstitution([CONFIG, "segment.yaml"]), "the node's parameters"),
        ("namespace", "", "namespace of the node and of its topics"),
        ("autostart", "", "true, or false for a lifecycle manager; empty: as in params_file"),
        (
            "use_sim_time",
            "",
            "take the time from /clock: true or false; empty: the node as in params_file",
        ),
        ("log_level", "info", "least severe messages that are shown: debug, info, warn, error"),
        (
            "fastdds_profiles",
            EnvironmentVariable(PROFILES, default_value=own),
            "Fast DDS profiles of the node and RViz; by default the environment's, or else those "
            "that make room for large images; empty: none",
        ),
        ("rviz", "false", "show what the node publishes in RViz: true or false"),
    )
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in arguments
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[Node]:
    file = LaunchConfiguration("params_file").perform(context)
    # launch_ros would say of another that it is none, and start the node with its defaults.
    if not Path(file).is_file():
        raise RuntimeError(f"params_file: expected a file of ROS parameters, got {file!r}")
    clock = _given(context, use_sim_time=bool)
    # The node starts itself, by its own parameter. launch_ros can do so, too, from 2025 on: both
    # together would ask for each transition twice.
    own = _given(context, model=str, device=str, camera_info=str, autostart=bool)
    node = LifecycleNode(
        package="twnet_ros",
        executable="segment_node",
        name="segment",
        namespace=LaunchConfiguration("namespace"),
        parameters=[one for one in (file, own | clock) if one],
        remappings=[("video", LaunchConfiguration("input"))],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        additional_env=_profiles(context),
        output="screen",
        emulate_tty=True,
    )
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),  # the topics in segment.rviz are relative
        arguments=["-d", PathJoinSubstitution([CONFIG, "segment.rviz"])],
        parameters=[clock] if clock else [],
        additional_env=_profiles(context),
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    return [node, rviz]


def _given(context: LaunchContext, **types: type) -> dict[str, ParameterValue]:
    """Return the parameters for which an argument is given."""
    texts = {name: LaunchConfiguration(name).perform(context) for name in types}
    return {
        name: ParameterValue(text, value_type=types[name]) for name, text in texts.items() if text
    }


def _profiles(context: LaunchContext) -> dict[str, str]:
    """Return the variable that names the profiles; an empty one only takes another's place."""
    file = LaunchConfiguration("fastdds_profiles").perform(context)
    return dict.fromkeys(SET if file else SET & os.environ.keys(), file)
