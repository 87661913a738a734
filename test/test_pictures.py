"""The pictures of docs/ are what docs/pictures.py makes."""

import importlib.util
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from twnet_ros.segment import CAMVID, CITYSCAPES
from twnet_ros.segment.picture import read_rgb

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def pictures():
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_makes_every_picture_there_is(pictures, tmp_path, monkeypatch):
    small = {"FRAMES": 3, "SIZE": (128, 64), "SHOWN": (0, 2)}  # the rest of the street is alike
    for name, value in small.items():
        monkeypatch.setattr(pictures, name, value)
    pictures.make(tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {path.name for path in DOCS.glob("*.png")}
    sheet = read_rgb(tmp_path / "contact_sheet.png")
    assert sheet.shape[1] == read_rgb(DOCS / "contact_sheet.png").shape[1]


@pytest.mark.parametrize("name, classes", [("cityscapes", CITYSCAPES), ("camvid", CAMVID)])
def test_the_legends_show_the_classes_as_they_are(pictures, name, classes):
    kept, made = read_rgb(DOCS / f"legend_{name}.png"), pictures.class_legend(classes)
    assert kept.shape == made.shape
    # Letters look otherwise in another OpenCV; the squares do not.
    assert np.abs(cv2.blur(kept, (9, 9)).astype(int) - cv2.blur(made, (9, 9))).mean() < 4
    for number, color in enumerate([*classes.colors, (0, 0, 0)]):
        x, y = 8 + number % 5 * 160, number // 5 * 22
        assert (kept[y + 4 : y + 18, x : x + 14] == color).all()


def test_the_wheel_is_coloured_as_motion_is(pictures):
    kept, made = read_rgb(DOCS / "legend_motion.png"), pictures.motion_legend()
    np.testing.assert_array_equal(kept[:, :220], made[:, :220])
    middle = pictures.EDGE + 101
    right, left = made[middle, middle + 95], made[middle, middle - 95]
    assert right[0] > 240 and right[1:].max() < 60  # red: its source is on the right
    assert left[0] < 60 and left[1:].min() > 240


def test_every_picture_that_the_readme_shows_is_there():
    shown = re.findall(r"!\[[^]]*\]\((\S+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown and all((ROOT / path).is_file() for path in shown)
