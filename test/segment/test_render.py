"""Pictures for people: colours, overlay, motion and residual."""

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from twnet_ros.codec import BlockMotion
from twnet_ros.segment import render_labels, render_motion, render_overlay, render_residual, to_rgb

COLORS = np.array([[255, 0, 0], [0, 200, 0], [10, 20, 30]], np.uint8)


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("full_range", [False, True])
def test_the_picture_is_that_of_another_decoder(frame_of, matrix, full_range):
    rows, columns = np.mgrid[:64, :96]
    y = (70 + rows / 2 + columns / 2).astype(np.uint8)
    u = (112 + columns[:32, :48] / 2).astype(np.uint8)
    v = (140 - rows[:32, :48] / 2).astype(np.uint8)
    stacked = np.concatenate([p.ravel() for p in (y, u, v)]).reshape(-1, 96)
    expected = av.VideoFrame.from_ndarray(stacked, format="yuv420p").reformat(
        format="rgb24",
        src_colorspace=Colorspace.ITU709 if matrix == "bt709" else Colorspace.ITU601,
        src_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    rgb = to_rgb(frame_of(y, u, v, matrix=matrix, full_range=full_range))
    assert rgb.dtype == np.uint8
    assert np.abs(rgb.astype(int) - expected.to_ndarray()).max() <= 3


def test_levels_beyond_the_range_saturate(frame_of):
    y = np.full((16, 16), 255, np.uint8)
    y[:8] = 0
    rgb = to_rgb(frame_of(y))
    assert (rgb[:6] == 0).all()
    assert (rgb[10:] == 255).all()


def test_a_picture_of_odd_size_keeps_it(frame_of):
    assert to_rgb(frame_of(np.full((15, 17), 100, np.uint8))).shape == (15, 17, 3)


def test_labels_have_their_classes_colours():
    labels = np.array([[0, 1, 2, 3, 255]], np.uint8)
    painted = render_labels(labels, COLORS)
    assert painted.tolist() == [[*COLORS.tolist(), [0, 0, 0], [0, 0, 0]]]


def test_the_overlay_mixes_picture_and_colours():
    rgb = np.full((1, 2, 3), 100, np.uint8)
    labels = np.array([[0, 1]], np.uint8)
    half = render_overlay(rgb, labels, COLORS)
    np.testing.assert_allclose(half[0].astype(int), [[178, 50, 50], [50, 150, 50]], atol=1)
    np.testing.assert_array_equal(render_overlay(rgb, labels, COLORS, alpha=0.0), rgb)
    painted = render_labels(labels, COLORS)
    np.testing.assert_array_equal(render_overlay(rgb, labels, COLORS, alpha=1.0), painted)
    assert (rgb == 100).all()  # and leaves its input alone


def test_motion_is_colour(motion_of):
    still = render_motion(motion_of(16, 24, (0.0, 0.0)), 16, 24)
    assert (still == 255).all()
    right = render_motion(motion_of(16, 24, (24.0, 0.0)), 16, 24)
    left = render_motion(motion_of(16, 24, (-24.0, 0.0)), 16, 24)
    assert right[0, 0].tolist() == [255, 0, 0]
    assert left[0, 0].tolist() == [0, 255, 255]
    faint = render_motion(motion_of(16, 24, (6.0, 0.0)), 16, 24)[0, 0].astype(int)
    assert faint[0] == 255 and 150 < faint[1] < 230


def test_blocks_without_a_vector_are_black():
    motion = BlockMotion(np.zeros((2, 3, 2), np.float32), np.zeros((2, 3), np.int8))
    motion.reference[1, 2] = -1
    painted = render_motion(motion, 13, 20)  # the last blocks are cut off
    assert painted.shape == (13, 20, 3)
    assert (painted[8:, 16:] == 255).all()
    assert painted.sum() == 5 * 4 * 3 * 255


def test_the_residual_is_grey_around_the_middle():
    residual = np.zeros((1, 4, 3), np.float32)
    residual[0, :, 0] = [0, 10, -10, 200]
    residual[..., 1:] = 50  # chroma does not show
    for channel in range(3):
        assert render_residual(residual)[0, :, channel].tolist() == [128, 168, 88, 255]
