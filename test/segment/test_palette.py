"""Class sets: the shipped ones, and a user's own from a file."""

import json

import pytest

from twnet_ros.segment import CAMVID, CITYSCAPES, SegmentError
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


@pytest.mark.parametrize(
    ("names", "colors", "expected"),
    [
        (["a", "a"], [[1, 2, 3]] * 2, "1 to 255 distinct names"),
        ([], [], "1 to 255 distinct names"),
        ([str(number) for number in range(256)], [[1, 2, 3]] * 256, "1 to 255 distinct names"),
        (["a", "b"], [[1, 2, 3]], "2 colors, one a name, got 1"),
        ("ab", [[1, 2, 3]] * 2, "a list of names, got 'ab'"),
        ([1, 2], [[1, 2, 3]] * 2, r"a list of names, got \[1, 2\]"),
        ([["a"], "b"], [[1, 2, 3]] * 2, r"a list of names, got \[\['a'\], 'b'\]"),
        (["a"], [[1, 2, 256]], r"from 0 to 255, got \[1, 2, 256\]"),
        (["a"], [[-1, 2, 3]], r"from 0 to 255, got \[-1, 2, 3\]"),
        (["a"], [[0.5, 0.2, 1.0]], r"from 0 to 255, got \[0.5, 0.2, 1.0\]"),
        (["a"], [[1, 2, float("inf")]], "cannot convert float infinity to integer"),
    ],
)
def test_names_and_colours_that_do_not_fit(tmp_path, names, colors, expected):
    path = tmp_path / "classes.json"
    path.write_text(json.dumps({"names": names, "colors": colors}))
    with pytest.raises(SegmentError, match=rf"classes\.json: expected .*{expected}"):
        read_class_set(path)


NO_COLOURS, DEEP = '{"names": ["a"], "colors": [1]}', "[" * 100_000


@pytest.mark.parametrize("text", ["", "[]", '{"names": ["a"]}', NO_COLOURS, DEEP])
def test_what_is_no_class_set(tmp_path, text):
    path = tmp_path / "classes.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r'classes\.json: expected JSON with "names"'):
        read_class_set(path)
