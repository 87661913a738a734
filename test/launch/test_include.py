"""The launch files as parts of others."""

from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "launch"
INCLUDES = """
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource


def generate_launch_description():
    source = PythonLaunchDescriptionSource({path!r})
    return LaunchDescription([IncludeLaunchDescription(source, launch_arguments={arguments!r})])
"""
# A value that differs from the default, for every argument.
GIVEN = {
    "segment": {
        "input": "/front",
        "model": "mine",
        "device": "cuda",
        "camera_info": "/calibration",
        "params_file": __file__,  # any that is there
        "namespace": "car",
        "autostart": "false",
        "use_sim_time": "true",
        "log_level": "debug",
        "fastdds_profiles": "/mine.xml",
        "rviz": "true",
    },
    "replay": {
        "bag": "/drive",
        "loop": "true",
        "rate": "0.5",
        "delay": "3",
        "input": "/front",
        "model": "mine",
        "rviz": "true",
    },
    "multi_camera": {
        "cameras": __file__,
        "namespace": "car",
        "use_sim_time": "true",
        "log_level": "debug",
        "fastdds_profiles": "/mine.xml",
        "rviz": "front",
    },
}


@pytest.mark.parametrize("name", [path.name.split(".")[0] for path in LAUNCH.glob("*.launch.py")])
def test_included_with_every_argument_it_starts_the_same(launch, tmp_path, name):
    direct = launch(name, **GIVEN[name])
    assert direct.arguments.keys() == GIVEN[name].keys()
    file = tmp_path / "whole.launch.py"
    path, arguments = str(LAUNCH / f"{name}.launch.py"), list(GIVEN[name].items())
    file.write_text(INCLUDES.format(path=path, arguments=arguments))
    included = launch(file)
    assert [plain(one) for one in included.started] == [plain(one) for one in direct.started]
    for argument in GIVEN[name]:  # none is idle
        others = {key: value for key, value in GIVEN[name].items() if key != argument}
        without = launch(name, **others)
        assert [plain(one) for one in without.started] != [plain(one) for one in direct.started]


def plain(process):
    """Return the settings without what each evaluation makes anew."""
    return {key: value for key, value in vars(process).items() if key != "additional_env"}
