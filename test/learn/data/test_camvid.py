"""CamVid in its two common layouts, whole and half unpacked."""

import cv2
import numpy as np
import pytest

from twnet_ros.learn.data.camvid import colour_train_ids, index_train_ids, read_split, recognises
from twnet_ros.learn.data.still import DataError
from twnet_ros.segment.palette import CAMVID

# label_colors.txt as it is published, and SegNet's groups of its names.
LABEL_COLORS = """
64 128 64 Animal
192 0 128 Archway
0 128 192 Bicyclist
0 128 64 Bridge
128 0 0 Building
64 0 128 Car
64 0 192 CartLuggagePram
192 128 64 Child
192 192 128 Column_Pole
64 64 128 Fence
128 0 192 LaneMkgsDriv
192 0 64 LaneMkgsNonDriv
128 128 64 Misc_Text
192 0 192 MotorcycleScooter
128 64 64 OtherMoving
64 192 128 ParkingBlock
64 64 0 Pedestrian
128 64 128 Road
128 128 192 RoadShoulder
0 0 192 Sidewalk
192 128 128 SignSymbol
128 128 128 Sky
64 128 192 SUVPickupTruck
0 0 64 TrafficCone
0 64 64 TrafficLight
192 64 128 Train
128 128 0 Tree
192 128 192 Truck_Bus
64 0 64 Tunnel
192 192 0 VegetationMisc
0 0 0 Void
64 192 0 Wall
"""
GROUPS = {
    "sky": "Sky",
    "building": "Archway Bridge Building Tunnel Wall",
    "pole": "Column_Pole TrafficCone",
    "road": "Road LaneMkgsDriv LaneMkgsNonDriv",
    "pavement": "Sidewalk ParkingBlock RoadShoulder",
    "tree": "Tree VegetationMisc",
    "sign": "SignSymbol Misc_Text TrafficLight",
    "fence": "Fence",
    "car": "Car SUVPickupTruck Truck_Bus Train OtherMoving",
    "pedestrian": "Pedestrian Child CartLuggagePram Animal",
    "cyclist": "Bicyclist MotorcycleScooter",
}


def test_all_32_colours_have_their_class(tmp_path):
    rows = [line.split() for line in LABEL_COLORS.strip().splitlines()]
    assert len(rows) == 32
    rgb = np.array([[row[:3] for row in rows]]).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a_L.png"), rgb[..., ::-1])  # OpenCV writes BGR
    found = colour_train_ids(tmp_path / "a_L.png")[0]
    assert found.dtype == np.uint8
    for (*_, name), train_id in zip(rows, found, strict=True):
        wanted = [group for group, names in GROUPS.items() if name in names.split()]
        assert ([CAMVID.names[train_id]] if train_id != 255 else []) == wanted, name


def test_few_stray_pixels_are_unlabelled_and_many_are_an_error(tmp_path):
    rgb = np.full((20, 20, 3), 128, np.uint8)  # sky
    rgb[0, :4] = (1, 2, 3)
    path = tmp_path / "a_L.png"
    cv2.imwrite(str(path), rgb[..., ::-1])
    found = colour_train_ids(path)
    assert (found[0, :4] == 255).all() and np.count_nonzero(found) == 4
    rgb[0, :5] = (1, 2, 3)
    cv2.imwrite(str(path), rgb[..., ::-1])
    with pytest.raises(DataError, match=r"expected CamVid's 32 colours, .* 1 % .*\(1, 2, 3\)"):
        colour_train_ids(path)


def test_index_labels(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.arange(12, dtype=np.uint8)[None])
    assert index_train_ids(path)[0].tolist() == [*range(11), 255]
    cv2.imwrite(str(path), np.array([[12]], np.uint8))
    with pytest.raises(DataError, match="expected labels up to 11, got 12"):
        index_train_ids(path)


NAMES = {
    "train": ["0001TP_006690", "0001TP_008520", "0006R0_f00930", "0016E5_07920", "0016E5_08190"],
    "val": [f"0016E5_{number:05d}" for number in range(7959, 7977, 2)],
    "test": ["0001TP_008550", "0001TP_010380", "Seq05VD_f00000", "Seq05VD_f05100"],
}
ROAD, SKY, CAR = (128, 64, 128), (128, 128, 128), (64, 0, 128)


@pytest.fixture
def published(tmp_path, drive_of):
    """Write the layout with colour labels."""
    root = tmp_path / "published"
    for names in NAMES.values():
        for number, name in enumerate(names):
            drive = drive_of()
            drive.write(root / "701_StillsRaw_full" / f"{name}.png", number)
            colours = np.array([ROAD, SKY, CAR], np.uint8)[drive.truth(number)]
            path = root / "LabeledApproved_full" / f"{name}_L.png"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), np.ascontiguousarray(colours[..., ::-1]))
    return root


@pytest.fixture
def tutorial(tmp_path, drive_of):
    """Write SegNet's layout with index labels and lists."""
    root = tmp_path / "CamVid"
    for split, names in NAMES.items():
        lines = []
        for number, name in enumerate(names):
            drive_of().write(root / split / f"{name}.png", number)
            drive_of().write_truth(root / f"{split}annot" / f"{name}.png", number, (3, 0, 8))
            paths = (f"/SegNet/CamVid/{split}{part}/{name}.png" for part in ("", "annot"))
            lines.append(" ".join(paths))
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize("layout", ["published", "tutorial"])
def test_both_layouts_hold_the_same(layout, request):
    root = request.getfixturevalue(layout)
    assert recognises(root) and not recognises(root.parent)
    for split, names in NAMES.items():
        stills, snippets = read_split(root, split)
        assert [image.stem for image, _ in stills.pairs] == sorted(names)
        for index in range(len(stills)):
            rgb, labels = stills.read(index)
            assert set(labels.ravel().tolist()) <= {0, 3, 8}  # sky, road, car
            assert rgb[labels == 0].min() > 180 > 60 > rgb[labels == 3].max()
        if split != "val":
            assert snippets == []
            continue
        # val is a stretch at 15 Hz: two frames of 30 Hz from one to the next
        (stretch,) = snippets
        labels = [label for _, label in stills.pairs]
        assert [frame.stem for frame in stretch.frames] == names
        assert list(stretch.labels.items()) == list(enumerate(labels))


@pytest.mark.parametrize("layout", ["published", "tutorial"])
def test_lists_choose(layout, request):
    root = request.getfixturevalue(layout)
    (root / "val.txt").write_text(f"{NAMES['val'][3]}.png\n\n{NAMES['val'][5]}.png\n")
    stills, snippets = read_split(root, "val")
    assert [image.stem for image, _ in stills.pairs] == [NAMES["val"][3], NAMES["val"][5]]
    assert snippets == []  # no neighbours


def test_half_unpacked(published, tutorial):
    def fails(root, split, expected):
        with pytest.raises(DataError, match=expected):
            read_split(root, split)

    (published / "LabeledApproved_full" / "0001TP_006690_L.png").unlink()
    fails(published, "train", r"Approved_full: 1 labels are missing, first 0001TP_006690_L\.png")
    (published / "701_StillsRaw_full" / "Seq05VD_f05100.png").unlink()
    fails(published, "test", r"StillsRaw_full: 1 images are missing, first Seq05VD_f05100\.png")
    (published / "701_StillsRaw_full").rename(published / "elsewhere")
    fails(published, "val", r"701_StillsRaw_full: expected .*, found no such folder")
    (tutorial / "train" / "0006R0_f00930.png").unlink()
    fails(tutorial, "train", r"train: 1 images are missing, first 0006R0_f00930\.png")
    (tutorial / "testannot" / "Seq05VD_f00000.png").unlink()
    fails(tutorial, "test", r"testannot: 1 labels are missing, first Seq05VD_f00000\.png")
    (tutorial / "valannot").rename(tutorial / "elsewhere")
    fails(tutorial, "val", r"valannot: expected a folder of PNG files, found no such folder")
    (tutorial / "test.txt").write_text("")
    fails(tutorial, "test", r"test: expected PNG files of split 'test', found none")
    fails(tutorial, "trial", "expected a split of train, val, test, got 'trial'")


def test_stills_of_other_sequences(published, drive_of):
    drive_of().write(published / "701_StillsRaw_full" / "holiday_00001.png", 0)
    with pytest.raises(DataError, match="expected stills of 0001TP, .*, got 'holiday_00001'"):
        read_split(published, "train")
