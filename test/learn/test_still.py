"""Labelled single frames in a folder."""

import cv2
import numpy as np
import pytest

from twnet_ros.learn.still import DataError, Stills


@pytest.mark.parametrize("images", ["images", "frames"])
def test_pictures_and_labels_come_in_pairs(still_folder, images):
    stills = Stills(still_folder(3, images=images), 3)
    assert len(stills) == 3
    for index in range(3):
        rgb, labels = stills.read(index)
        assert rgb.shape == (64, 96, 3) and labels.shape == (64, 96)
        assert rgb.dtype == labels.dtype == np.uint8
        assert rgb[labels == 1].mean() > 180 > 60 > rgb[labels == 0].mean()


def test_pictures_are_rgb(still_folder):
    root = still_folder(1)
    red = np.zeros((64, 96, 3), np.uint8)
    red[..., 2] = 250  # OpenCV writes BGR
    cv2.imwrite(str(root / "images" / "A_000.png"), red)
    assert Stills(root, 3).read(0)[0][5, 5].tolist() == [250, 0, 0]


def test_ids_beyond_the_classes_are_unlabelled(still_folder):
    _, labels = Stills(still_folder(1), 2).read(0)
    assert set(np.unique(labels)) == {0, 1, 255}


def test_holding_out(still_folder):
    stills = Stills(still_folder(7), 3)  # A_000 B_001 A_002 B_003 A_004 B_005 A_006

    def names(part):
        return [image.stem for image, _ in part.pairs]

    training, held = stills.split(["B"])
    assert names(held) == ["B_001", "B_003", "B_005"]
    assert names(training) == ["A_000", "A_002", "A_004", "A_006"]
    training, held = stills.split(["A:2", "B_00"])
    assert names(held) == ["A_004", "A_006", "B_001", "B_003", "B_005"]
    assert names(training) == ["A_000", "A_002"]
    training, held = stills.split([])
    assert (len(training), len(held)) == (7, 0)
    assert len(stills) == 7
    training.read(0)


@pytest.mark.parametrize("entry", ["C", "A_9:3"])
def test_holding_out_what_is_not_there(still_folder, entry):
    with pytest.raises(DataError, match="no image's name begins with") as error:
        Stills(still_folder(2), 3).split([entry])
    assert repr(entry) in str(error.value)


@pytest.mark.parametrize("entry", ["A:", "A:0", "A:-2", "A:many", "A:1.5"])
def test_holding_out_a_wrong_count(still_folder, entry):
    with pytest.raises(DataError, match="expected a count of 1 or more") as error:
        Stills(still_folder(4), 3).split([entry])
    assert repr(entry) in str(error.value)


def test_samples_are_drawn_from_all(still_folder):
    stills = Stills(still_folder(3), 3)
    drawn = {stills.sample(np.random.default_rng(seed))[0].tobytes() for seed in range(40)}
    assert len(drawn) == 3
    one, two = (stills.sample(np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one[0], two[0])


def test_a_folder_without_stills(tmp_path, still_folder):
    with pytest.raises(DataError, match=r"expected the folders 'images' \(or 'frames'\) and"):
        Stills(tmp_path, 3)
    root = still_folder(1)
    (root / "images" / "A_000.png").unlink()
    with pytest.raises(DataError, match="expected PNG or JPEG images, found none"):
        Stills(root, 3)


def test_missing_labels(still_folder):
    root = still_folder(3)
    (root / "labels" / "B_001.png").unlink()
    with pytest.raises(DataError, match=r"1 labels are missing, first B_001\.png"):
        Stills(root, 3)


def test_labels_of_another_shape(still_folder):
    root = still_folder(1)
    cv2.imwrite(str(root / "labels" / "A_000.png"), np.zeros((64, 96, 3), np.uint8))
    with pytest.raises(
        DataError, match=r"expected one channel of 8-bit labels, got \(64, 96, 3\)"
    ):
        Stills(root, 3).read(0)
    cv2.imwrite(str(root / "labels" / "A_000.png"), np.zeros((32, 96), np.uint8))
    with pytest.raises(DataError, match=r"got \(32, 96\)"):
        Stills(root, 3).read(0)


def test_files_that_are_no_pictures(still_folder):
    root = still_folder(1)
    (root / "images" / "A_000.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"images.A_000\.png: expected a PNG or JPEG picture"):
        Stills(root, 3).read(0)
