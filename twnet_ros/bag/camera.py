"""Camera calibrations: ROS's own files and those of Cityscapes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from twnet_ros.bag.error import BagError

CITYSCAPES_SIZE = (2048, 1024)  # width, height; its files do not say it
_DISTORTIONS = {"plumb_bob": 5, "rational_polynomial": 8, "equidistant": 4}  # coefficients
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Camera:
    """What sensor_msgs/CameraInfo says of a camera, matrices row by row, in pixels."""

    width: int
    height: int
    distortion_model: str
    d: tuple[float, ...]
    k: tuple[float, ...]  # 3x3
    r: tuple[float, ...]  # 3x3
    p: tuple[float, ...]  # 3x4


def read_camera(path: Path) -> Camera:
    """Read a calibration: YAML as ROS's camera_calibration writes it, or Cityscapes' JSON.

    BagError says what is missing or not as it should be.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        told = " ".join(str(error).split())  # YAML tells in lines
        raise BagError(f"{path}: expected a camera calibration, got {told}") from error
    if not isinstance(content, dict):
        raise BagError(f"{path}: expected a camera calibration, got no mapping of names")
    return _cityscapes(path, content) if path.suffix == ".json" else _ros(path, content)


def _cityscapes(path: Path, content: Mapping[str, Any]) -> Camera:
    """Take the intrinsics; the published pictures are undistorted and rectified."""
    given = content.get("intrinsic")
    given = given if isinstance(given, dict) else {}
    fx, fy, cx, cy = (_number(path, "intrinsic", given.get(n)) for n in ("fx", "fy", "u0", "v0"))
    width, height = CITYSCAPES_SIZE
    k = (fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0)
    p = (fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0)
    return Camera(width, height, "plumb_bob", (0.0,) * 5, k, _IDENTITY, p)


def _ros(path: Path, content: Mapping[str, Any]) -> Camera:
    width, height = content.get("image_width"), content.get("image_height")
    if not (isinstance(width, int) and isinstance(height, int) and min(width, height) > 0):
        raise BagError(
            f"{path}: expected image_width and image_height in pixels, got {width} and {height}"
        )
    model = content.get("distortion_model")
    if not isinstance(model, str) or model not in _DISTORTIONS:
        known = ", ".join(_DISTORTIONS)
        raise BagError(f"{path}: expected a distortion_model of {known}, got {model!r}")
    return Camera(
        width,
        height,
        model,
        _matrix(path, content, "distortion_coefficients", _DISTORTIONS[model]),
        _matrix(path, content, "camera_matrix", 9),
        _matrix(path, content, "rectification_matrix", 9),
        _matrix(path, content, "projection_matrix", 12),
    )


def _matrix(path: Path, content: Mapping[str, Any], name: str, length: int) -> tuple[float, ...]:
    given = content.get(name)
    data = given.get("data") if isinstance(given, dict) else None
    if not isinstance(data, list) or len(data) != length:
        raise BagError(f"{path}: expected {length} numbers in data of {name}, got {data}")
    return tuple(_number(path, name, value) for value in data)


def _number(path: Path, name: str, value: object) -> float:
    number = math.nan
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        with suppress(ValueError):  # YAML 1.1 takes 1e-05, which has no point, for text
            number = float(value)
    if not math.isfinite(number):
        raise BagError(f"{path}: expected numbers in {name}, got {value!r}")
    return number
