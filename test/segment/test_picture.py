"""Picture files: order of channels, types, and what is no picture."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from twnet_ros.segment.picture import PictureError, read_labels, read_rgb, write_png


def test_labels_round_trip_and_are_written_whole(tmp_path):
    labels = np.array([[0, 7], [18, 255]], np.uint8)
    write_png(tmp_path / "00000.png", labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "00000.png"), labels)
    assert [p.name for p in tmp_path.iterdir()] == ["00000.png"]


def test_red_is_the_first_channel(tmp_path):
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 255
    write_png(tmp_path / "red.png", red)
    np.testing.assert_array_equal(read_rgb(tmp_path / "red.png"), red)
    stored = cv2.imread(str(tmp_path / "red.png"))  # OpenCV reads blue first
    assert stored[0, 0].tolist() == [0, 0, 255]


def test_a_picture_beyond_what_is_read(tmp_path):
    content = cv2.imencode(".png", np.zeros((2, 2), np.uint8))[1].tobytes()
    header = content[12:16] + struct.pack(">II", 50_000, 50_000) + content[24:29]
    huge = content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
    (tmp_path / "x.png").write_bytes(huge)
    with pytest.raises(PictureError, match=r"x\.png: expected a PNG or JPEG picture"):
        read_rgb(tmp_path / "x.png")


def test_what_is_no_picture(tmp_path):
    (tmp_path / "x.png").write_bytes(b"nothing")
    with pytest.raises(PictureError, match=r"x\.png: expected a PNG or JPEG picture"):
        read_rgb(tmp_path / "x.png")
    with pytest.raises(PictureError, match="expected one channel of 8-bit labels, got none"):
        read_labels(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("picture", "actual"),
    [
        (np.zeros((4, 6, 3), np.uint8), r"\(4, 6, 3\) uint8"),
        (np.zeros((4, 6), np.uint16), r"\(4, 6\) uint16"),
    ],
)
def test_labels_are_one_channel_of_bytes(tmp_path, picture, actual):
    cv2.imwrite(str(tmp_path / "x.png"), picture)
    with pytest.raises(PictureError, match=actual):
        read_labels(tmp_path / "x.png")
