"""Calibrations: ROS's files and Cityscapes', and what is wrong with them."""

import json

import pytest
import yaml

from twnet_ros.bag import BagError, read_camera

K = [50.0, 0.0, 48.0, 0.0, 51.0, 32.0, 0.0, 0.0, 1.0]
P = [49.0, 0.0, 47.0, 0.0, 0.0, 50.0, 31.0, 0.0, 0.0, 0.0, 1.0, 0.0]
ROS = {
    "image_width": 96,
    "image_height": 64,
    "camera_name": "front",
    "camera_matrix": {"rows": 3, "cols": 3, "data": K},
    "distortion_model": "plumb_bob",
    "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0.1, -0.2, 0, 0, 0.3]},
    "rectification_matrix": {"rows": 3, "cols": 3, "data": [1, 0, 0, 0, 1, 0, 0, 0, 1]},
    "projection_matrix": {"rows": 3, "cols": 4, "data": P},
}


@pytest.fixture
def write(tmp_path):
    def make(content, name="camera.yaml"):
        path = tmp_path / name
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        path.write_text(text)
        return path

    return make


def test_ros(write):
    camera = read_camera(write(ROS))
    assert (camera.width, camera.height, camera.distortion_model) == (96, 64, "plumb_bob")
    assert camera.d == (0.1, -0.2, 0.0, 0.0, 0.3)
    assert camera.k == tuple(K)
    assert camera.r == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert camera.p == tuple(P)


@pytest.mark.parametrize(
    "model, count", [("plumb_bob", 5), ("rational_polynomial", 8), ("equidistant", 4)]
)
def test_each_distortion_has_its_number_of_coefficients(write, model, count):
    for given in (count - 1, count, count + 1):
        data = [0.1 * n for n in range(given)]
        path = write({**ROS, "distortion_model": model, "distortion_coefficients": {"data": data}})
        if given == count:
            camera = read_camera(path)
            assert (camera.distortion_model, camera.d) == (model, tuple(data))
        else:
            with pytest.raises(BagError, match=f"expected {count} numbers in .* of distortion_co"):
                read_camera(path)


def test_a_number_without_a_point_is_one_though_yaml_takes_it_for_text(write):
    text = yaml.safe_dump(ROS).replace("0.3\n", "1e-05\n")
    assert "1e-05" in text
    assert read_camera(write(text)).d == (0.1, -0.2, 0.0, 0.0, 1e-5)


def test_cityscapes(write):
    intrinsic = {"fx": 2262.52, "fy": 2265.3, "u0": 1096.98, "v0": 513.137}
    content = {"extrinsic": {"baseline": 0.209}, "intrinsic": intrinsic}
    camera = read_camera(write(json.dumps(content), "a_camera.json"))
    assert (camera.width, camera.height, camera.d) == (2048, 1024, (0.0,) * 5)
    assert camera.k == (2262.52, 0, 1096.98, 0, 2265.3, 513.137, 0, 0, 1)
    assert camera.p == (2262.52, 0, 1096.98, 0, 0, 2265.3, 513.137, 0, 0, 0, 1, 0)


@pytest.mark.parametrize(
    "changed, expected",
    [
        ({"image_width": "96"}, "expected image_width and image_height in pixels, got 96 and 64"),
        ({"distortion_model": "fisheye"}, "expected a distortion_model of plumb_bob, .*'fisheye'"),
        ({"camera_matrix": None}, "expected 9 numbers in data of camera_matrix, got None"),
        ({"projection_matrix": {"data": [1]}}, r"expected 12 numbers in .*matrix, got \[1\]"),
        ({"distortion_model": ["plumb_bob"]}, "expected a distortion_model of .*'plumb_bob'"),
        ({"camera_matrix": {"data": ["a"] * 9}}, "expected numbers in camera_matrix, got 'a'"),
        ({"camera_matrix": {"data": [True] * 9}}, "expected numbers in camera_matrix, got True"),
        ({"camera_matrix": {"data": [float("nan")] * 9}}, "expected numbers .*, got nan"),
    ],
)
def test_what_is_wrong_is_named(write, changed, expected):
    with pytest.raises(BagError, match=expected):
        read_camera(write({**ROS, **changed}))


DEEP = ("[" * 100_000, "deep.json")


def test_no_calibration(write, tmp_path):
    for text, name in (("[1", "a.yaml"), ("1", "b.yaml"), ("{", "c.json"), ("[]", "d.json"), DEEP):
        with pytest.raises(BagError, match=rf"{name}: expected a camera calibration, got .+$"):
            read_camera(write(text, name))
    with pytest.raises(BagError, match="expected numbers in intrinsic, got None"):
        read_camera(write("{}", "e.json"))
    with pytest.raises(OSError, match="none.yaml"):
        read_camera(tmp_path / "none.yaml")
