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
    with pytest.raises(PictureError, match="expected a PNG file of 8-bit grey labels, got none"):
        read_labels(tmp_path / "x.png")


@pytest.mark.parametrize("how", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
def test_a_jpeg_file_that_was_copied_in_part(tmp_path, how):
    """Grey rows are no part of the picture."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    thumbnail, whole = (cv2.imencode(".jpg", x, how)[1].tobytes() for x in (noise[:8, :8], noise))
    # A thumbnail, a picture of its own with its own end, stands before it; a phone's note after.
    exif = b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(thumbnail)) + b"Exif\0\0" + thumbnail
    whole = whole[:2] + exif + whole[2:]
    path = tmp_path / "x.jpg"
    for ending in (b"", b"SEFT", bytes(1000), b"\xff\xd9 mp4 \xff\xda"):
        path.write_bytes(whole + ending)
        assert read_rgb(path).shape == (48, 64, 3)
    for length in (len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole[:length])
        with pytest.raises(PictureError, match=r"x\.jpg: expected a whole JPEG file, found one"):
            read_rgb(path)


GREY = np.zeros((4, 6), np.uint8)


@pytest.mark.parametrize(
    ("ending", "picture", "how", "actual"),
    [
        (".png", GREY[..., None].repeat(3, 2), (), "8-bit RGB"),
        (".png", GREY[..., None].repeat(4, 2), (), "8-bit RGB with alpha"),
        (".png", GREY.astype(np.uint16), (), "16-bit grey"),
        (".png", GREY, (cv2.IMWRITE_PNG_BILEVEL, 1), "1-bit grey"),
        (".jpg", GREY, (), "another format"),
    ],
)
def test_labels_are_one_channel_of_bytes(tmp_path, ending, picture, how, actual):
    _, data = cv2.imencode(ending, picture, how)
    (tmp_path / "x.png").write_bytes(data.tobytes())
    with pytest.raises(PictureError, match=f"8-bit grey labels, got {actual}$"):
        read_labels(tmp_path / "x.png")


def test_a_palettes_indices_are_no_labels_as_opencv_reads_them(tmp_path):
    """A palette PNG, as label tools save them: its pixels are indices, OpenCV's are colours."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 3, 0, 0, 0)),
        (b"PLTE", bytes(range(6))),
        (b"IDAT", zlib.compress(b"\0\0\1")),
        (b"IEND", b""),
    ]
    made = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(made))
    assert read_rgb(tmp_path / "x.png").tolist() == [[[0, 1, 2], [3, 4, 5]]]
    with pytest.raises(PictureError, match="8-bit grey labels, got 8-bit palette$"):
        read_labels(tmp_path / "x.png")
