"""Cityscapes in its published layout, whole and half unpacked."""

import shutil

import cv2
import numpy as np
import pytest

from twnet_ros.learn.data.cityscapes import read_split, recognises, train_ids
from twnet_ros.learn.data.still import DataError
from twnet_ros.segment.palette import CITYSCAPES

# The published ids 0 to 33, with the name of the train id where they are scored.
PUBLISHED = (
    *7 * [""],  # unlabeled, ego vehicle, rectification border, out of roi, static, dynamic, ground
    "road",
    "sidewalk",
    "",  # parking
    "",  # rail track
    "building",
    "wall",
    "fence",
    "",  # guard rail
    "",  # bridge
    "",  # tunnel
    "pole",
    "",  # polegroup
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "",  # caravan
    "",  # trailer
    "train",
    "motorcycle",
    "bicycle",
)


def label_file(folder, name, ids):
    path = folder / f"ulm_000000_000019_gtFine_{name}.png"
    cv2.imwrite(str(path), np.array([ids], np.uint8))
    return path


def test_all_34_ids_have_their_train_ids(tmp_path):
    assert len(PUBLISHED) == 34
    found = train_ids(label_file(tmp_path, "labelIds", range(34)))[0]
    names = [CITYSCAPES.names[i] if i < 19 else "" for i in found]
    assert names == list(PUBLISHED)
    assert set(found[found >= 19].tolist()) == {255}


def test_train_ids_are_taken_as_they_are(tmp_path):
    ids = [*range(19), 255]
    assert train_ids(label_file(tmp_path, "labelTrainIds", ids))[0].tolist() == ids


@pytest.mark.parametrize(
    "name, wrong, expected",
    [("labelIds", 34, "ids below 34"), ("labelTrainIds", 19, "train ids below 19")],
)
def test_other_ids_are_errors(tmp_path, name, wrong, expected):
    with pytest.raises(DataError, match=f"expected {expected} or 255, got {wrong}"):
        train_ids(label_file(tmp_path, name, [0, wrong]))


def test_labelled_frames(cityscapes_folder):
    root = cityscapes_folder()
    assert recognises(root) and not recognises(root / "gtFine")
    for split in ("train", "val"):
        stills, snippets = read_split(root, split)
        assert snippets == []
        assert [image.parent.name for image, _ in stills.pairs] == ["aachen", "bad_ems"]
        for index in range(2):
            rgb, labels = stills.read(index)
            assert rgb.shape == (16, 32, 3)
            assert set(labels.ravel().tolist()) <= {0, 10, 13}  # road, sky, car
            assert rgb[labels == 10].min() > 180 > 60 > rgb[labels == 0].max()


def test_labels_made_of_train_ids_do_as_well(cityscapes_folder):
    root = cityscapes_folder()
    expected = read_split(root, "val")[0].read(0)[1]
    for path in root.glob("gtFine/val/*/*_labelIds.png"):
        ids = train_ids(path)
        path.unlink()
        path = path.with_name(path.name.replace("labelIds", "labelTrainIds"))
        cv2.imwrite(str(path), ids)
    np.testing.assert_array_equal(read_split(root, "val")[0].read(0)[1], expected)


@pytest.mark.parametrize("first", [0, 294])  # some cities count on from snippet to snippet
def test_snippets_lie_around_the_labelled_frame(cityscapes_folder, first):
    stills, snippets = read_split(cityscapes_folder(snippets=True, first=first), "train")
    assert len(stills) == len(snippets) == 2
    for (image, label), snippet in zip(stills.pairs, snippets, strict=True):
        assert len(snippet.frames) == 30
        assert snippet.labels == {19: label}
        assert snippet.frames[19].name == image.name
        numbers = [int(frame.name.split("_")[-2]) for frame in snippet.frames]
        assert numbers == list(range(first, first + 30))
        assert all(frame.is_file() for frame in snippet.frames)


def test_the_test_split_has_no_labels(cityscapes_folder):
    with pytest.raises(DataError, match="expected split 'train' or 'val', .*, got 'test'"):
        read_split(cityscapes_folder(), "test")


def test_a_split_that_is_missing_does_not_disturb_the_other(cityscapes_folder):
    root = cityscapes_folder(splits=("val",), snippets=True)
    assert len(read_split(root, "val")[1]) == 2
    with pytest.raises(DataError, match=r"leftImg8bit.train: expected .*, found no such folder"):
        read_split(root, "train")


def test_half_unpacked(cityscapes_folder):
    root = cityscapes_folder(snippets=True)

    def fails(split, expected):
        with pytest.raises(DataError, match=expected):
            read_split(root, split)

    shutil.rmtree(root / "leftImg8bit_sequence" / "val")
    fails("val", r"leftImg8bit_sequence.val: expected .*, found no such folder")
    city = root / "leftImg8bit_sequence" / "train" / "aachen"
    for number in (29, 7):
        (city / f"aachen_000000_{number:06d}_leftImg8bit.png").unlink()
    fails(
        "train",
        r"sequence.train.aachen: 2 frames of snippets are missing, first aachen_000000_000007_",
    )
    label = root / "gtFine" / "train" / "aachen" / "aachen_000000_000019_gtFine_labelIds.png"
    label.unlink()
    fails(
        "train",
        r"gtFine.train.aachen: 1 labels are missing, first aachen_000000_000019_gtFine_labelIds",
    )
    label.parent.rmdir()
    fails("train", "gtFine.train.aachen: 1 labels are missing")
    image = root / "leftImg8bit" / "val" / "aachen" / "aachen_000000_000019_leftImg8bit.png"
    image.rename(image.with_name("aachen_000000_000020_leftImg8bit.png"))
    fails("val", "gtFine.val.aachen: 1 labels are missing, first aachen_000000_000020")
    (image.parent / "aachen_000000_000020_leftImg8bit.png").unlink()
    fails("val", r"leftImg8bit.val.aachen: expected \*_leftImg8bit\.png, found none")
    shutil.rmtree(root / "gtFine")
    fails("val", r"gtFine.val: expected a folder of cities, found no such folder")


def test_images_that_are_missing(cityscapes_folder, drive_of):
    root = cityscapes_folder()
    label = root / "gtFine" / "val" / "aachen" / "aachen_000001_000019_gtFine_labelIds.png"
    drive_of().write_truth(label, 19, (7, 23, 26))
    with pytest.raises(
        DataError, match="leftImg8bit.val.aachen: 1 images are missing, first aachen_000001"
    ):
        read_split(root, "val")


def test_no_cities(tmp_path):
    for name in ("leftImg8bit", "gtFine"):
        (tmp_path / name / "val").mkdir(parents=True)
    with pytest.raises(DataError, match=r"leftImg8bit.val: expected a folder of each city, found"):
        read_split(tmp_path, "val")
