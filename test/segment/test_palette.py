"""Class sets: the shipped ones, and a user's own from a file."""

import json

import pytest

from twnet_ros.segment import CAMVID, CITYSCAPES
from twnet_ros.segment.palette import read_class_set


def test_the_shipped_sets_have_a_colour_a_class():
    assert len(CITYSCAPES.names) == len(CITYSCAPES.colors) == 19
    assert len(CAMVID.names) == len(CAMVID.colors) == 11
    assert len(set(CITYSCAPES.colors)) == 19


def test_a_class_set_of_ones_own(tmp_path):
    path = tmp_path / "classes.json"
    path.write_text(json.dumps({"names": ["rail", "rest"], "colors": [[1, 2, 3], [4, 5, 6]]}))
    found = read_class_set(path)
    assert found.names == ("rail", "rest")
    assert found.colors == ((1, 2, 3), (4, 5, 6))


@pytest.mark.parametrize("text", ["", "[]", '{"names": ["a"]}', '{"names": ["a"], "colors": [1]}'])
def test_what_is_no_class_set(tmp_path, text):
    path = tmp_path / "classes.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r'classes\.json: expected JSON with "names"'):
        read_class_set(path)
