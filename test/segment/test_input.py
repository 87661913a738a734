"""The pass in: what the network is given of a frame."""

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import ColorRange, Colorspace
from hypothesis import given
from hypothesis import strategies as st

from twnet_ros.segment.color import ycc_to_rgb
from twnet_ros.segment.input import Geometry, InputPass, fit

sides = st.integers(32, 4096)


@pytest.fixture
def pass_in(network):
    """Make the pass in for a video's size and a box."""
    config = network().config

    def make(video, box=None, dtype=torch.float32):
        return InputPass(Geometry.of(video, box or video), config, torch.device("cpu"), dtype)

    return make


def smooth_planes(height, width, seed=0):
    """4:2:0 planes of waves, well inside the RGB cube."""
    rng = np.random.default_rng(seed)

    def plane(rows, columns, middle, reach):
        y, x = np.mgrid[:rows, :columns] / np.array([rows, columns]).reshape(2, 1, 1)
        a, b, c = rng.uniform(0.5, 1.5, 3)
        return np.rint(middle + reach * np.sin(0.5 * (a * x + b * y) + c)).astype(np.uint8)

    half = (height // 2, width // 2)
    return plane(height, width, 125, 45), plane(*half, 128, 26), plane(*half, 128, 26)


def rgb_by_ffmpeg(planes, matrix, full_range):
    height, width = planes[0].shape
    stacked = np.concatenate([plane.ravel() for plane in planes]).reshape(-1, width)
    picture = av.VideoFrame.from_ndarray(stacked, format="yuv420p").reformat(
        format="rgb24",
        src_colorspace=Colorspace.ITU709 if matrix == "bt709" else Colorspace.ITU601,
        src_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    return picture.to_ndarray()


@given(video=st.tuples(sides, sides), box=st.tuples(sides, sides))
def test_fit_fills_the_box_and_keeps_the_proportions(video, box):
    width, height = fit(video, box)
    scale = min(box[0] / video[0], box[1] / video[1])
    assert width <= box[0] and height <= box[1]
    assert width == box[0] or height == box[1]
    assert abs(width - video[0] * scale) <= 0.5 or width == 1
    assert abs(height - video[1] * scale) <= 0.5 or height == 1


@given(video=st.tuples(sides, sides), box=st.tuples(sides, sides))
def test_the_input_is_padded_to_multiples_of_32(video, box):
    geometry = Geometry.of(video, box)
    for net, padded in zip(geometry.net, geometry.padded, strict=True):
        assert padded % 32 == 0
        assert 0 <= padded - net < 32


@pytest.mark.parametrize(
    "video, box, net, padded",
    [
        ((2048, 1024), (512, 256), (512, 256), (512, 256)),
        ((960, 720), (512, 256), (341, 256), (352, 256)),
        ((640, 480), (640, 480), (640, 480), (640, 480)),
        ((1920, 1080), (512, 512), (512, 288), (512, 288)),
        ((100, 50), (400, 400), (400, 200), (416, 224)),
    ],
)
def test_geometries(video, box, net, padded):
    assert Geometry.of(video, box) == Geometry(video, net, padded)


def test_motion_at_native_size_is_the_blocks_own(pass_in, motion_of):
    motion = motion_of(64, 96)
    got = pass_in((96, 64)).motion(motion).dense()
    assert got.shape == (1, 2, 64, 96)
    expected = motion.displacement.repeat(8, 0).repeat(8, 1)
    np.testing.assert_array_equal(got[0].permute(1, 2, 0).numpy(), expected)


def test_motion_at_half_size_is_half_as_long(pass_in, motion_of):
    motion = motion_of(128, 192)
    got = pass_in((192, 128), (96, 64)).motion(motion).dense()
    expected = motion.displacement.repeat(4, 0).repeat(4, 1) / 2
    np.testing.assert_array_equal(got[0].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("video, box", [((100, 76), (72, 72)), ((52, 36), (96, 96))])
def test_motion_at_any_scale_is_that_of_the_block_under_the_pixel(pass_in, motion_of, video, box):
    source = pass_in(video, box)
    motion = motion_of(video[1], video[0])
    got = source.motion(motion).dense()[0].numpy()
    (net_w, net_h), (width, height) = source.geometry.net, source.geometry.padded
    assert got.shape == (2, height, width)
    scale = np.array([net_w / video[0], net_h / video[1]])
    for row in range(net_h):
        for column in range(net_w):
            x, y = (column + 0.5) / scale[0], (row + 0.5) / scale[1]
            expected = motion.displacement[int(y // 8), int(x // 8)] * scale
            np.testing.assert_allclose(got[:, row, column], expected, rtol=1e-6)
    np.testing.assert_array_equal(
        got[:, net_h:], got[:, net_h - 1 : net_h].repeat(height - net_h, 1)
    )


def test_blocks_without_a_vector_do_not_move(pass_in, motion_of):
    motion = motion_of(64, 96, (4.0, 4.0))
    motion.displacement[2, 3] = 0
    motion.reference[2, 3] = 0
    got = pass_in((96, 64)).motion(motion).dense()
    assert not got[0, :, 16:24, 24:32].any()
    assert got[0, :, :16].all()


def test_the_picture_at_native_size_is_the_decoded_one(pass_in, frame_of):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 256, (64, 96), dtype=np.uint8)
    flat = np.full((32, 48), 77, np.uint8)
    picture, _ = pass_in((96, 64)).convert(frame_of(y, flat, flat + 1))
    assert picture.shape == (1, 3, 64, 96)
    np.testing.assert_array_equal(picture[0, 0].numpy(), y)
    assert (picture[0, 1] == 77).all()
    assert (picture[0, 2] == 78).all()


def test_chroma_is_interpolated_at_pixel_centres(pass_in, frame_of):
    ramp = np.tile(np.arange(0, 240, 5, dtype=np.uint8), (32, 1))  # 48 columns
    picture, _ = pass_in((96, 64)).convert(frame_of(np.zeros((64, 96), np.uint8), ramp))
    expected = np.clip((np.arange(96) - 0.5) / 2 * 5, 0, 235)
    np.testing.assert_allclose(picture[0, 1, 10].numpy(), expected, atol=1e-3)


def test_a_smaller_picture_is_an_average(pass_in, frame_of):
    y = (np.indices((128, 192)).sum(0) % 2 * 200).astype(np.uint8)  # a checkerboard
    picture, _ = pass_in((192, 128), (96, 64)).convert(frame_of(y))
    np.testing.assert_allclose(picture[0, 0, 4:-4, 4:-4].numpy(), 100, atol=1)


def test_padding_repeats_the_border(pass_in, frame_of):
    y = np.random.default_rng(0).integers(0, 256, (40, 72), dtype=np.uint8)
    picture, _ = pass_in((72, 40)).convert(frame_of(y))
    assert picture.shape == (1, 3, 64, 96)
    expected = np.pad(y, ((0, 24), (0, 24)), mode="edge")
    np.testing.assert_array_equal(picture[0, 0].numpy(), expected)


@pytest.mark.parametrize("matrix, red, blue", [("bt601", 0.299, 0.114), ("bt709", 0.2126, 0.0722)])
@pytest.mark.parametrize("full_range", [False, True])
def test_colours_are_those_that_were_encoded(matrix, red, blue, full_range):
    rgb = np.random.default_rng(0).uniform(0, 1, (100, 3))
    y = rgb @ [red, 1 - red - blue, blue]
    cb, cr = (rgb[:, 2] - y) / (2 - 2 * blue), (rgb[:, 0] - y) / (2 - 2 * red)
    if full_range:
        levels = np.stack([255 * y, 255 * cb + 128, 255 * cr + 128])
    else:
        levels = np.stack([219 * y + 16, 224 * cb + 128, 224 * cr + 128])
    affine = ycc_to_rgb(matrix, full_range)
    np.testing.assert_allclose(affine[:, :3] @ levels + affine[:, 3:], 255 * rgb.T, atol=1e-3)


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("full_range", [False, True])
def test_the_image_is_normalised_rgb(pass_in, frame_of, matrix, full_range):
    source = pass_in((192, 128))
    for seed in range(6):
        planes = smooth_planes(128, 192, seed)
        frame = frame_of(*planes, matrix=matrix, full_range=full_range)
        image = source.convert(frame)[1][0].permute(1, 2, 0).numpy()
        rgb = image * source.config.std + source.config.mean
        expected = rgb_by_ffmpeg(planes, matrix, full_range)
        assert expected.min() > 0 and expected.max() < 255  # nothing was clipped
        assert np.abs(rgb - expected).max() < 4  # swscale rounds twice, chroma first
        assert np.abs(rgb - expected).mean() < 1.5


def test_black_and_white_and_the_network_s_type(pass_in, frame_of):
    y = np.full((64, 96), 16, np.uint8)
    y[:, 48:] = 235
    source = pass_in((96, 64), dtype=torch.bfloat16)
    frame = frame_of(y)
    _, image = source.convert(frame)
    assert image.dtype == torch.bfloat16
    mean, std = source.config.mean, source.config.std
    for c in range(3):
        assert float(image[0, c, 5, 5]) == pytest.approx(-mean[c] / std[c], abs=0.02)
        assert float(image[0, c, 5, 90]) == pytest.approx((255 - mean[c]) / std[c], abs=0.02)
