"""Labelled frames in a folder: stills, and sequences with a label for some frames."""

import cv2
import numpy as np
import pytest

from twnet_ros.learn.data.folder import read_split
from twnet_ros.learn.data.still import DataError
from twnet_ros.segment.picture import PictureError


def read_stills(root, classes, hold_out=(), split="train"):
    return read_split(root, classes, list(hold_out), split)[0]


@pytest.mark.parametrize("images", ["images", "frames"])
def test_pictures_and_labels_come_in_pairs(still_folder, images):
    stills = read_stills(still_folder(3, images=images), 3)
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
    assert read_stills(root, 3).read(0)[0][5, 5].tolist() == [250, 0, 0]


def test_ids_beyond_the_classes_are_unlabelled(still_folder):
    _, labels = read_stills(still_folder(1), 2).read(0)
    assert set(np.unique(labels)) == {0, 1, 255}


def test_holding_out(still_folder):
    root = still_folder(7)  # A_000 B_001 A_002 B_003 A_004 B_005 A_006

    def split(hold_out):
        return [read_stills(root, 3, hold_out, name) for name in ("train", "val")]

    def names(part):
        return [image.stem for image, _ in part.pairs]

    training, held = split(["B"])
    assert names(held) == ["B_001", "B_003", "B_005"]
    assert names(training) == ["A_000", "A_002", "A_004", "A_006"]
    training, held = split(["A:2", "B_00"])
    assert names(held) == ["A_004", "A_006", "B_001", "B_003", "B_005"]
    assert names(training) == ["A_000", "A_002"]
    training, held = split([])
    assert (len(training), len(held)) == (7, 0)
    training.read(0)


@pytest.mark.parametrize("entry", ["C", "A_9:3"])
def test_holding_out_what_is_not_there(still_folder, entry):
    with pytest.raises(DataError, match="no image's name begins with") as error:
        read_stills(still_folder(2), 3, [entry])
    assert repr(entry) in str(error.value)


@pytest.mark.parametrize("entry", ["A:", "A:0", "A:-2", "A:many", "A:1.5"])
def test_holding_out_a_wrong_count(still_folder, entry):
    with pytest.raises(DataError, match="expected a count of 1 or more") as error:
        read_stills(still_folder(4), 3, [entry])
    assert repr(entry) in str(error.value)


def test_samples_are_drawn_from_all(still_folder):
    stills = read_stills(still_folder(3), 3)
    drawn = {stills.sample(np.random.default_rng(seed))[0].tobytes() for seed in range(40)}
    assert len(drawn) == 3
    one, two = (stills.sample(np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one[0], two[0])


def test_a_folder_without_stills(tmp_path, still_folder):
    with pytest.raises(DataError, match="expected the folders 'images' or 'frames', one of"):
        read_stills(tmp_path, 3)
    root = still_folder(1)
    (root / "images" / "A_000.png").unlink()
    with pytest.raises(PictureError, match="expected PNG or JPEG pictures, found none"):
        read_stills(root, 3)


def test_missing_labels(still_folder):
    root = still_folder(3)
    (root / "labels" / "B_001.png").unlink()
    with pytest.raises(DataError, match=r"1 labels are missing, first B_001\.png"):
        read_stills(root, 3)


def test_missing_pictures(still_folder):
    root = still_folder(3)
    (root / "images" / "B_001.png").unlink()
    with pytest.raises(DataError, match=r"1 labelled frames are missing, first B_001\.png"):
        read_stills(root, 3)


def test_two_pictures_of_one_label(still_folder):
    root = still_folder(3)
    (root / "images" / "B_001.jpg").write_bytes((root / "images" / "B_001.png").read_bytes())
    with pytest.raises(DataError, match=r"a name for each picture, got B_001\.jpg, B_001\.png"):
        read_stills(root, 3)


def test_two_folders_of_pictures(still_folder):
    root = still_folder(1)
    (root / "frames").mkdir()
    with pytest.raises(DataError, match="expected the folders 'images' or 'frames', one of them"):
        read_stills(root, 3)


def test_labels_of_another_shape(still_folder):
    root = still_folder(1)
    cv2.imwrite(str(root / "labels" / "A_000.png"), np.zeros((64, 96, 3), np.uint8))
    with pytest.raises(DataError, match="expected a PNG file of 8-bit grey labels, got 8-bit RGB"):
        read_stills(root, 3).read(0)
    cv2.imwrite(str(root / "labels" / "A_000.png"), np.zeros((32, 96), np.uint8))
    with pytest.raises(DataError, match=r"got \(32, 96\)"):
        read_stills(root, 3).read(0)


def test_files_that_are_no_pictures(still_folder):
    root = still_folder(1)
    (root / "images" / "A_000.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"images.A_000\.png: expected a PNG or JPEG picture"):
        read_stills(root, 3).read(0)


def test_a_folder_has_no_test_split(still_folder):
    with pytest.raises(DataError, match="expected split 'val' of a folder .*, got 'test'"):
        read_split(still_folder(1), 3, [], "test")


@pytest.fixture
def sequence_folder(tmp_path, drive_of):
    """Write two sequences of 12 frames, every fifth frame labelled; return their folder."""

    def make():
        root = tmp_path / "sequences"
        for seed, name in enumerate(("town_a", "town_b")):
            drive = drive_of(seed)
            for number in range(12):  # unpadded: 10 comes after 9
                drive.write(root / "frames" / name / f"frame_{number}.png", number)
                if number % 5 == 0:
                    drive.write_truth(root / "labels" / name / f"frame_{number}.png", number)
        return root

    return make


def test_sequences_that_are_half_there(sequence_folder):
    root = sequence_folder()
    (root / "labels" / "town_c").mkdir()
    with pytest.raises(DataError, match="1 labelled sequences are missing, first town_c"):
        read_split(root, 3, [], "train")
    (root / "labels" / "town_c").rmdir()
    (root / "frames" / "stray.png").write_bytes(b"")
    wanted = r"pictures or folders of them, got both, stray\.png and town_a"
    with pytest.raises(DataError, match=wanted):
        read_split(root, 3, [], "train")


def test_hidden_folders_are_none_of_the_data(still_folder, sequence_folder):
    root = still_folder(3)
    (root / "images" / ".thumbnails").mkdir()
    assert len(read_stills(root, 3)) == 3
    root = sequence_folder()
    for folder in ("frames", "labels"):
        (root / folder / ".thumbnails").mkdir()
    assert len(read_split(root, 3, [], "train")[1]) == 2


def test_hidden_files_and_previews_are_none_of_the_data(still_folder):
    root = still_folder(2)
    for name in ("images/._A_000.png", "labels/._A_000.png", "labels/A_000.jpg", "labels/all.jpg"):
        (root / name).write_bytes(b"")
    assert len(read_stills(root, 3)) == 2


@pytest.mark.parametrize("name", ["frame_3.jpg", "frame_3.PNG"])
def test_labels_in_other_files_are_not_passed_over(still_folder, sequence_folder, name):
    stills = still_folder(1)
    (stills / "labels" / "A_000.png").rename(stills / "labels" / "A_000.PNG")
    with pytest.raises(
        DataError, match=r"labels: expected labels in files \*\.png, got A_000\.PNG"
    ):
        read_stills(stills, 3)
    root = sequence_folder()
    (root / "labels" / "town_b" / name).write_bytes(b"")
    with pytest.raises(DataError, match=rf"town_b: expected labels in files \*\.png, got {name}"):
        read_split(root, 3, [], "train")


def test_sequences_have_labels_for_some_frames(sequence_folder):
    stills, snippets = read_split(sequence_folder(), 3, [], "train")
    assert [s.frames[0].parent.name for s in snippets] == ["town_a", "town_b"]
    for snippet in snippets:
        assert [frame.stem for frame in snippet.frames] == [f"frame_{n}" for n in range(12)]
        assert {n: label.stem for n, label in snippet.labels.items()} == {
            n: f"frame_{n}" for n in (0, 5, 10)
        }
    assert [image.stem for image, _ in stills.pairs] == 2 * ["frame_0", "frame_5", "frame_10"]
    for index in range(len(stills)):
        rgb, labels = stills.read(index)
        assert rgb[labels == 1].min() > rgb[labels == 0].max()


def test_sequences_are_held_out_as_a_whole(sequence_folder):
    root = sequence_folder()
    for hold_out in (["town_b"], ["town:1"]):
        names = [
            [s.frames[0].parent.name for s in read_split(root, 3, hold_out, split)[1]]
            for split in ("train", "val")
        ]
        assert names == [["town_a"], ["town_b"]]
    with pytest.raises(DataError, match="no sequence's name begins with 'village'"):
        read_split(root, 3, ["village"], "val")


def test_half_unpacked_sequences(sequence_folder):
    root = sequence_folder()
    (root / "frames" / "town_a" / "frame_5.png").unlink()
    with pytest.raises(
        DataError, match=r"frames.town_a: 1 labelled frames are missing, first frame_5\.png"
    ):
        read_split(root, 3, [], "train")
    for label in (root / "labels" / "town_a").iterdir():
        label.unlink()
    with pytest.raises(DataError, match=r"labels.town_a: expected a label for some frames of .*"):
        read_split(root, 3, [], "train")
    (root / "labels" / "town_a").rmdir()
    with pytest.raises(DataError, match=r"labels.town_a: expected .*, found no such folder"):
        read_split(root, 3, [], "train")
    for frame in (root / "frames" / "town_a").iterdir():
        frame.unlink()
    with pytest.raises(PictureError, match=r"town_a: expected PNG or JPEG pictures, found none"):
        read_split(root, 3, [], "train")
