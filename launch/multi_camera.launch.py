"""Start a segment node for each of several cameras, all in one process, and RViz for one of them.

The process is told of its cameras by a file of ROS parameters, as config/cameras.yaml explains.
"""

import os
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import (
    EnvironmentVariable,
    LaunchConfiguration,
    PathJoinSubstitution,
)
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

# Where Fast DDS looks for its profiles: from version 3 (Kilted) on, and before (Jazzy).
PROFILES, OLD_PROFILES = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
READ = OLD_PROFILES if os.environ.get("ROS_DISTRO") == "jazzy" else PROFILES
# Fast DDS warns of the old name: it is set only where it is read, or in the environment's place.
SET = {READ, *({PROFILES, OLD_PROFILES} & os.environ.keys())}
CONFIG = PathJoinSubstitution([FindPackageShare("twnet_ros"), "config"])


def generate_launch_description() -> LaunchDescription:
    """Return the process with its arguments; ``ros2 launch -s`` lists them."""
    shipped = PathJoinSubstitution([CONFIG, "fastdds.xml"])
    own = EnvironmentVariable(OLD_PROFILES, default_value=shipped)
    arguments = (
        ("cameras", PathJoinSubstitution([CONFIG, "cameras.yaml"]), "file with the cameras"),
        ("namespace", "", "namespace of the cameras"),
        ("use_sim_time", "", "true or false: take the time from /clock; empty: as in cameras"),
        ("log_level", "info", "least severe messages that are shown: debug, info, warn, error"),
        (
            "fastdds_profiles",
            EnvironmentVariable(PROFILES, default_value=own),
            "Fast DDS profiles of the process and of RViz; by default the environment's, or else "
            "those that make room for large images; empty: none",
        ),
        ("rviz", "", "camera whose node RViz shows, as front; empty: none"),
    )
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in arguments
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[Node]:
    file = LaunchConfiguration("cameras").perform(context)
    # launch_ros would say of another that it is none, and start the process without a camera.
    if not Path(file).is_file():
        raise RuntimeError(f"cameras: expected a file of ROS parameters, got {file!r}")
    namespace = LaunchConfiguration("namespace")
    clock = []
    if given := LaunchConfiguration("use_sim_time").perform(context):
        clock.append({"use_sim_time": ParameterValue(given, value_type=bool)})
    # Without a name: it would be that of all nodes in the process, and the clock's parameter would
    # be for one of them.
    cameras = Node(
        package="twnet_ros",
        executable="segment_cameras",
        namespace=namespace,
        parameters=[file, *clock],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        additional_env=_profiles(context),
        output="screen",
        emulate_tty=True,
    )
    camera = LaunchConfiguration("rviz").perform(context)
    if camera.lower() in ("", "false", "0"):
        return [cameras]
    if camera.lower() in ("true", "1"):  # as segment.launch.py takes it
        raise RuntimeError(f"rviz: expected the name of a camera, or nothing, got {camera!r}")
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=PathJoinSubstitution([namespace, camera]),
        arguments=["-d", PathJoinSubstitution([CONFIG, "segment.rviz"])],
        parameters=clock,
        additional_env=_profiles(context),
    )
    return [cameras, rviz]


def _profiles(context: LaunchContext) -> dict[str, str]:
    """Return the variable that names the profiles; an empty one only takes another's place."""
    file = LaunchConfiguration("fastdds_profiles").perform(context)
    return dict.fromkeys(SET if file else SET & os.environ.keys(), file)
