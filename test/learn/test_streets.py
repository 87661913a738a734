"""Procedural street drives: exact labels, one world for every size, any frame at any time."""

import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from twnet_ros.learn.streets import Street, raster, write_street
from twnet_ros.learn.streets import mesh as m
from twnet_ros.learn.streets.person import add_walker, make_outfit

SIZE = (256, 128)
ROAD, SIDEWALK, BUILDING, SKY, CAR = 0, 1, 2, 10, 13


def same(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean(a == b))


def test_frame_has_the_size_types_and_labels_that_were_promised():
    for width, height in (SIZE, (203, 117), (480, 208)):
        rgb, labels = Street(3, width, height).frame(5)
        assert rgb.shape == (height, width, 3) and rgb.dtype == np.uint8
        assert labels.shape == (height, width) and labels.dtype == np.uint8
        assert set(np.unique(labels)) <= {*range(19), 255}


def test_default_size():
    street = Street(1)
    assert (street.width, street.height) == (1024, 512)


def test_a_frame_does_not_depend_on_the_frames_before_it():
    visited = Street(7, *SIZE)
    visited.frame(3)
    visited.frame(2000)
    for got, expected in zip(visited.frame(7), Street(7, *SIZE).frame(7), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_frame_is_the_same_in_another_process():
    code = (
        "import hashlib; from twnet_ros.learn.streets import Street\n"
        "rgb, labels = Street(4, 128, 64).frame(11)\n"
        "print(hashlib.sha256(rgb.tobytes() + labels.tobytes()).hexdigest())"
    )
    root = Path(__file__).resolve().parents[2]
    other = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    rgb, labels = Street(4, 128, 64).frame(11)
    digest = hashlib.sha256(rgb.tobytes() + labels.tobytes()).hexdigest()
    assert other.stdout.strip() == digest


def test_the_street_never_ends():
    for index in (10**5, 10**9):
        labels = Street(2, *SIZE).frame(index)[1]
        assert len(np.unique(labels)) >= 6


def test_every_class_occurs_over_a_few_seeds():
    pixels = np.zeros(256, np.int64)
    for seed in range(10):
        street = Street(seed, *SIZE)
        for index in (0, 90, 180, 270):
            pixels += np.bincount(street.frame(index)[1].ravel(), minlength=256)
    assert (pixels[:19] > 50).all(), pixels[:19]
    share = pixels / pixels.sum()
    assert 0.2 < share[ROAD] < 0.5 and share[CAR] > 0.03 and share[11] > 0.003
    assert share[255] < 0.1


def test_layout_is_a_street_seen_from_a_car():
    top, bottom = np.zeros(256), np.zeros(256)
    for seed in range(6):
        labels = Street(seed, *SIZE).frame(40)[1]
        top += np.bincount(labels[:20].ravel(), minlength=256)
        bottom += np.bincount(labels[-40:-16].ravel(), minlength=256)
        assert not np.any(labels[-40:] == SKY)
    assert top[ROAD] == 0 and top[SKY] + top[BUILDING] > 0.5 * top.sum()
    assert bottom[ROAD] > 0.5 * bottom.sum()


def test_consecutive_frames_differ_but_overlap():
    for seed in range(3):
        street = Street(seed, *SIZE)
        for index in (20, 150):
            (rgb, labels), (rgb2, labels2) = street.frame(index), street.frame(index + 1)
            assert not np.array_equal(rgb, rgb2)
            assert same(labels, labels2) > 0.8


def test_the_car_drives_and_halts():
    street = Street(0, *SIZE)
    way = [street.position(i) for i in range(0, 1200, 5)]
    steps = np.diff(way)
    assert steps.min() >= 0 and steps.max() > 1.0 and np.any(steps < 1e-9)


def test_seeds_are_different_worlds():
    frames = [Street(seed, *SIZE).frame(0)[1] for seed in (50, 51, 52)]
    assert all(same(frames[a], frames[b]) < 0.9 for a, b in ((0, 1), (0, 2), (1, 2)))


def test_every_size_shows_the_same_world():
    for seed in (5, 6):
        small, large = Street(seed, 256, 128).frame(33)[1], Street(seed, 512, 256).frame(33)[1]
        assert max(same(small, large[y::2, x::2]) for y in (0, 1) for x in (0, 1)) > 0.93


def _silhouette(phase: float) -> np.ndarray:
    """A person who walks across the view 6 m ahead."""
    rows = np.empty((40, m.COLUMNS))
    outfit = make_outfit(np.random.default_rng(0))
    count = add_walker(rows, 0, 0.0, 0.0, 6.0, np.pi / 2, phase, 1.0, outfit)
    camera = np.array([200.0, 64.0, 64.0, 128.0, 128.0])
    rotation = np.diag([1.0, -1.0, 1.0])
    surfaces = np.empty((60, raster.OUT_COLUMNS))
    one = np.ones(3)
    filled = raster.project(
        rows, count, surfaces, 0, np.array([0.0, 1.0, 0.0]), rotation, camera, one, one, one
    )
    depth, owner = np.zeros((128, 128), np.float32), np.full((128, 128), -1, np.int32)
    raster.draw(surfaces, filled, depth, owner, np.ones((8, 8)))
    assert np.all(surfaces[:filled, raster.OUT_LABEL] == m.L_PERSON)
    return owner >= 0


def test_people_move_their_limbs():
    shapes = [_silhouette(2 * np.pi * k / 8) for k in range(8)]
    areas = [shape.sum() for shape in shapes]
    assert min(areas) > 300
    # Legs together and legs apart: wider, and not the same shape however it is shifted.
    widths = [np.ptp(np.flatnonzero(shape.any(0))) for shape in shapes]
    assert max(widths) > 1.3 * min(widths)
    apart, together = shapes[int(np.argmax(widths))], shapes[int(np.argmin(widths))]
    overlaps = [
        (apart & np.roll(together, dx, 1)).sum() / (apart | np.roll(together, dx, 1)).sum()
        for dx in range(-10, 11)
    ]
    assert max(overlaps) < 0.85
    assert same(_silhouette(0.0), _silhouette(2 * np.pi)) > 0.999


def test_labels_are_exact_where_the_geometry_is_known():
    """A square 1 m wide, 4 m ahead at a focal length of 80 px covers 20 x 20 pixels."""
    mesh = m.Mesh()
    mesh.plane((-0.5, -0.5, 4.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), m.L_CAR, (1.0, 1.0, 1.0))
    mesh.plane((-2.0, -2.0, 8.0), (4.0, 0.0, 0.0), (0.0, 4.0, 0.0), m.L_WALL, (1.0, 1.0, 1.0))
    rows, one, surfaces = mesh.array(), np.ones(3), np.empty((4, raster.OUT_COLUMNS))
    camera = np.array([80.0, 32.0, 32.0, 64.0, 64.0])
    for order in ([0, 1], [1, 0]):  # the nearer one wins whatever is drawn first
        filled = raster.project(
            rows[order],
            2,
            surfaces,
            0,
            np.zeros(3),
            np.diag([1.0, -1.0, 1.0]),
            camera,
            one,
            one,
            one,
        )
        depth, owner = np.zeros((64, 64), np.float32), np.full((64, 64), -1, np.int32)
        raster.draw(surfaces, filled, depth, owner, np.ones((8, 8)))
        labels = np.where(owner >= 0, surfaces[owner, raster.OUT_LABEL], 255)
        expected = np.full((64, 64), 255)
        expected[12:52, 12:52] = m.L_WALL
        expected[22:42, 22:42] = m.L_CAR
        np.testing.assert_array_equal(labels, expected)
        np.testing.assert_allclose(depth[30, 30], 1 / 4)


@pytest.mark.parametrize(
    ("seed", "width", "height", "named"),
    [
        (0, 0, 128, "width"),
        (0, 256, -4, "height"),
        (0, 256, 12.5, "height"),
        (-1, 256, 128, "seed"),
        (0, 10**6, 128, "width"),
    ],
)
def test_bad_street_names_what_was_expected(seed, width, height, named):
    with pytest.raises(ValueError, match=f"{named}: expected .* got"):
        Street(seed, width, height)


@pytest.mark.parametrize("index", [-1, 1.5, "3"])
def test_bad_index_names_what_was_expected(index):
    with pytest.raises(ValueError, match="index: expected .* got"):
        Street(0, *SIZE).frame(index)


def test_written_street_reads_back(tmp_path):
    write_street(tmp_path / "drive", 3, 96, 48, seed=9)
    street = Street(9, 96, 48)
    for folder in ("frames", "labels"):
        names = sorted(path.name for path in (tmp_path / "drive" / folder).iterdir())
        assert names == ["00000.png", "00001.png", "00002.png"]
    for index in range(3):
        rgb, labels = street.frame(index)
        picture = cv2.imread(str(tmp_path / "drive" / "frames" / f"{index:05d}.png"))
        np.testing.assert_array_equal(picture[..., ::-1], rgb)
        truth = cv2.imread(
            str(tmp_path / "drive" / "labels" / f"{index:05d}.png"), cv2.IMREAD_UNCHANGED
        )
        np.testing.assert_array_equal(truth, labels)


def test_writing_no_frames_is_refused(tmp_path):
    with pytest.raises(ValueError, match="frames: expected .* got 0"):
        write_street(tmp_path, 0, 96, 48, seed=0)
