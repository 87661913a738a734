"""The package says the same about itself everywhere, and declares what it imports."""

import ast
import configparser
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
MANIFEST = ElementTree.parse(ROOT / "package.xml").getroot()
MESSAGES = sorted(ROOT.glob("msg/*.msg"))

# The rosdep key of each imported module; None where there is no key, and pip brings it.
KEYS = {
    "av": None,
    "cv2": "python3-opencv",
    "matplotlib": "python3-matplotlib",
    "numba": None,
    "numpy": "python3-numpy",
    "ptlflow": None,
    "rosbags": None,
    "safetensors": None,
    "tensorboard": None,
    "torch": None,
    "tqdm": "python3-tqdm",
    "yaml": "python3-yaml",
}
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "yaml": "PyYAML",
}  # where it is not the module's name
ROS_MODULES = {
    "ament_index_python",
    "builtin_interfaces",
    "cv_bridge",
    "diagnostic_msgs",
    "launch",
    "launch_ros",
    "rcl_interfaces",
    "rclpy",
    "sensor_msgs",
    "std_msgs",
}


def setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def third_party_imports():
    files = [*ROOT.glob("twnet_ros/**/*.py"), *ROOT.glob("launch/*.py")]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    names = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    tops = {name.split(".")[0] for name in names}
    return tops - {*sys.stdlib_module_names, "twnet_ros"}


def dependencies(*tags):
    return {element.text for tag in tags for element in MANIFEST.iter(tag)}


def test_manifest_is_format_3_and_builds_with_ament_cmake():
    assert MANIFEST.get("format") == "3"
    assert MANIFEST.findtext("export/build_type") == "ament_cmake"
    assert MANIFEST.findtext("license") == "Apache-2.0"
    assert "rosidl_interface_packages" in dependencies("member_of_group")


def test_one_name_and_one_version():
    cfg = setup_cfg()
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    names = {MANIFEST.findtext("name"), cfg["metadata"]["name"]}
    names |= set(re.findall(r"^project\((\w+)", cmake, re.MULTILINE))
    assert names == {"twnet_ros"}
    version = MANIFEST.findtext("version")
    assert cfg["metadata"]["version"] == version
    # No third place may state one of its own.
    for file in [ROOT / "setup.py", *ROOT.glob("twnet_ros/**/*.py"), ROOT / "CMakeLists.txt"]:
        assert version not in file.read_text(encoding="utf-8"), file


def test_every_import_is_declared():
    modules = third_party_imports()
    assert modules <= KEYS.keys() | ROS_MODULES, "a new import: declare it, and name it here"
    wanted = {KEYS.get(module, module) for module in modules} - {None}
    assert wanted <= dependencies("depend", "exec_depend")
    options = setup_cfg()
    ranges = options["options"]["install_requires"]
    ranges += "".join(options["options.extras_require"].values())
    declared = set(re.findall(r"^([\w-]+)>=", ranges, re.MULTILINE))
    assert {DISTRIBUTIONS.get(name, name) for name in modules - ROS_MODULES} <= declared


def test_every_message_is_built():
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert set(re.findall(r"msg/\w+\.msg", cmake)) == {f"msg/{file.name}" for file in MESSAGES}


@pytest.mark.parametrize("file", MESSAGES, ids=lambda file: file.stem)
def test_every_field_is_explained(file):
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    for line in lines:
        field, _, comment = line.partition("#")
        assert not field.strip() or len(comment.split()) >= 3, line


def test_pins_are_exact_and_name_no_place():
    for file in ROOT.glob(".ci/requirements*.txt"):
        for line in file.read_text(encoding="utf-8").splitlines():
            requirement = line.partition("#")[0].strip()
            assert not requirement or re.fullmatch(r"[\w-]+==[\w.]+", requirement), line
