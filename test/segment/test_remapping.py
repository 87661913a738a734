"""Labels in a driving stack's classes: every class goes where the file says, or nothing goes."""

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest

from twnet_ros.segment import CAMVID, CITYSCAPES, SegmentError, read_remapping
from twnet_ros.segment.remapping import CLASSES

DOCS = Path(__file__).parents[2] / "docs" / "CLASSES.md"
SHIPPED = ("cityscapes_categories", "driving", "mapillary")
MODEL = ("road", "car", "truck", "sky")
FILE = {
    "names": ["ground", "vehicle"],
    "colors": [[1, 2, 3], [4, 5, 6]],
    "sources": {"vehicle": ["truck", "bus", "car"], "ground": ["road", "grass"]},
    "unlabelled": ["sky"],
}


@pytest.fixture
def write(tmp_path):
    """Write a file like ``FILE``, with other values for some keys; None leaves one out."""

    def write(**changes):
        content = {key: value for key, value in {**FILE, **changes}.items() if value is not None}
        path = tmp_path / "stack.json"
        path.write_text(json.dumps(content))
        return path

    return write


def mapped(remapping, classes):
    """The target's name of each class; None is unlabelled."""
    names = dict(enumerate(remapping.class_set.names))
    ids = remapping.apply(np.arange(len(classes), dtype=np.uint8)[None])[0]
    return {name: names.get(int(i)) for name, i in zip(classes, ids, strict=True)}


def test_classes_go_where_the_file_says(write):
    remapping = read_remapping(write(), MODEL)
    assert remapping.class_set.names == ("ground", "vehicle")
    assert remapping.class_set.colors == ((1, 2, 3), (4, 5, 6))
    labels = np.array([[0, 1, 2], [3, 255, 1]], np.uint8)
    found = remapping.apply(labels)
    assert found.dtype == np.uint8
    assert found.tolist() == [[0, 1, 1], [255, 255, 1]]
    assert labels.tolist() == [[0, 1, 2], [3, 255, 1]]


def test_a_picture_that_is_a_view_of_a_larger_one(write):
    """As cropped labels are: rows apart."""
    labels = np.random.default_rng(0).integers(0, 4, (9, 16), np.uint8)
    remapping = read_remapping(write(), MODEL)
    view = labels[2:8, 3:11]
    assert np.array_equal(remapping.apply(view), remapping.table[view])


def test_every_value_has_a_place_and_unknown_ones_no_label(write):
    table = read_remapping(write(), MODEL).table
    assert table.shape == (256,)
    assert table[:4].tolist() == [0, 1, 1, 255]
    assert (table[4:] == 255).all()


def test_one_file_serves_models_of_other_orders_and_other_classes(write):
    path = write()
    for classes in (MODEL, ("sky", "bus", "grass"), ("truck",)):
        found = mapped(read_remapping(path, classes), classes)
        assert found == {
            name: {"sky": None, "road": "ground", "grass": "ground"}.get(name, "vehicle")
            for name in classes
        }


def test_it_cannot_be_changed(write):
    remapping = read_remapping(write(), MODEL)
    with pytest.raises(FrozenInstanceError):
        remapping.table = None
    with pytest.raises(ValueError, match="read-only"):
        remapping.table[0] = 3


def test_a_target_that_nothing_goes_to_keeps_its_id(write):
    names = ["lane marking", "ground", "vehicle"]
    path = write(
        names=names, colors=[[7, 8, 9], *FILE["colors"]], sources={**FILE["sources"], names[0]: []}
    )
    assert read_remapping(path, MODEL).table[:4].tolist() == [1, 2, 2, 255]


@pytest.mark.parametrize("listed", [None, []])
def test_what_is_not_named_is_an_error_that_lists_it(write, listed):
    path = write(unlabelled=listed)
    with pytest.raises(SegmentError, match="every class of the model.*missing sky, water$"):
        read_remapping(path, (*MODEL, "water"))
    assert mapped(read_remapping(path, MODEL[:3]), MODEL[:3])["car"] == "vehicle"


def test_names_are_taken_as_they_are_written(write):
    with pytest.raises(SegmentError, match="missing Car$"):
        read_remapping(write(), ("road", "Car"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"unlabeled": ["sky"]}, "the keys names, colors, sources, unlabelled, got unlabeled$"),
        ({"sources": None}, "sources for each of ground, vehicle, got None$"),
        ({"sources": ["road"]}, r"sources for each of ground, vehicle, got \['road'\]$"),
        ({"sources": {"ground": []}}, "sources for each of ground, vehicle, got ground$"),
        ({"sources": {**FILE["sources"], "animal": []}}, "vehicle, got vehicle, ground, animal$"),
        ({"sources": {"ground": "road", "vehicle": []}}, "lists of class names, got 'road'$"),
        ({"sources": {"ground": [3], "vehicle": []}}, r"lists of class names, got \[3\]$"),
        ({"unlabelled": "sky"}, "lists of class names, got 'sky'$"),
        ({"unlabelled": ["car"]}, "each class once, got 'car' twice$"),
        ({"sources": {"ground": ["a", "b"], "vehicle": ["a"]}}, "once, got 'a' twice$"),
        ({"names": None}, 'JSON with "names" and "colors"'),
        ({"names": ["a", "a"]}, "1 to 255 distinct names"),
        ({"colors": [[1, 2, 3]]}, "2 colors, one a name, got 1$"),
    ],
)
def test_a_file_that_is_not_as_described(write, changes, expected):
    with pytest.raises(SegmentError, match=rf"stack\.json: expected .*{expected}"):
        read_remapping(write(**changes), MODEL)


def test_no_such_file(tmp_path):
    with pytest.raises(SegmentError, match=f"a JSON file or one of {', '.join(SHIPPED)}, got 'no"):
        read_remapping("nobody", MODEL)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(SegmentError, match=r"a\.json: expected JSON"):
        read_remapping(tmp_path / "a.json", MODEL)


# The shipped files


def test_every_file_in_the_folder_is_tested():
    assert tuple(sorted(path.stem for path in CLASSES.glob("*"))) == SHIPPED


@pytest.mark.parametrize("known", [CITYSCAPES, CAMVID], ids=["cityscapes", "camvid"])
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_label_every_class_of_both_sets(name, known):
    remapping = read_remapping(name, known.names)
    found = mapped(remapping, known.names)
    assert None not in found.values()
    assert len(set(remapping.class_set.colors)) == len(remapping.class_set.names)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_target_of_a_shipped_file_can_come_out(name):
    reached = set()
    for known in (CITYSCAPES, CAMVID):
        reached |= set(mapped(read_remapping(name, known.names), known.names).values())
    assert reached == set(read_remapping(name, ()).class_set.names)


def test_a_driving_stack_gets_the_same_from_either_set():
    cityscapes = mapped(read_remapping("driving", CITYSCAPES.names), CITYSCAPES.names)
    camvid = mapped(read_remapping("driving", CAMVID.names), CAMVID.names)
    for one, other in [
        ("road", "road"),
        ("sidewalk", "pavement"),
        ("person", "pedestrian"),
        ("rider", "cyclist"),
        ("car", "car"),
        ("traffic sign", "sign"),
        ("building", "building"),
        ("vegetation", "tree"),
        ("sky", "sky"),
    ]:
        assert cityscapes[one] == camvid[other]
    assert {name for name, target in cityscapes.items() if target == "drivable"} == {"road"}
    assert {name for name, target in camvid.items() if target == "drivable"} == {"road"}


# The documentation


@pytest.mark.parametrize("name", SHIPPED)
def test_the_documentation_has_the_shipped_tables(name):
    read = [(known.names, read_remapping(name, known.names)) for known in (CITYSCAPES, CAMVID)]
    _, remapping = read[0]
    lines = ["| id | class | colour | Cityscapes | CamVid |", "|---|---|---|---|---|"]
    targets = zip(remapping.class_set.names, remapping.class_set.colors, strict=True)
    for number, (target, color) in enumerate(targets):
        sources = (
            ", ".join(one for one, goes in mapped(found, names).items() if goes == target)
            for names, found in read
        )
        lines.append(f"| {number} | {target} | {str(color)[1:-1]} | {' | '.join(sources)} |")
    section = DOCS.read_text(encoding="utf-8").partition(f"### `{name}`")[2].partition("###")[0]
    assert "\n".join(lines) in section


def test_the_documented_file_is_one(tmp_path):
    path = tmp_path / "documented.json"
    path.write_text(DOCS.read_text(encoding="utf-8").partition("```json")[2].partition("```")[0])
    classes = ("road", "sky", "person")
    found = mapped(read_remapping(path, classes), classes)
    assert found == {"road": "ground", "sky": None, "person": "moving"}
