"""The fused pass in is torch's separate ones, from planes of any size."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from twnet_ros.codec import CodedFrame, FrameKind
from twnet_ros.net import Config
from twnet_ros.segment.input import Geometry, InputPass, fit
from twnet_ros.segment.resampling import taps

CONFIG = Config("mobilenetv1", 1, ("a", "b"), ((0, 0, 0),) * 2, (64, 64))
sides = st.integers(1, 90)
# Of a result of one column torch makes every row the first.
sizes = st.tuples(st.integers(2, 90), sides)


def noise(video, matrix="bt601", full_range=False, seed=0):
    rng = np.random.default_rng(seed)
    width, height = video
    chroma = ((height + 1) // 2, (width + 1) // 2)
    planes = [rng.integers(0, 256, shape, np.uint8) for shape in ((height, width), chroma, chroma)]
    return key_frame(planes, matrix, full_range)


def key_frame(planes, matrix="bt601", full_range=False):
    shown = (matrix, full_range, None, "", True, 0.0)
    return CodedFrame(0, None, FrameKind.I, *planes, *shown)


def both(frame, box, dtype=torch.float32):
    """Return picture and image, fused and by torch."""
    geometry = Geometry.of((frame.width, frame.height), box)
    source = InputPass(geometry, CONFIG, torch.device("cpu"), dtype)
    found = source.convert(frame)
    affine = source.affine[frame.color_matrix, frame.full_range]
    return found, source.convert_by_torch((frame.y, frame.u, frame.v), affine)


@given(sizes, st.sampled_from(["bt601", "bt709"]), st.booleans(), st.integers(0, 99))
def test_at_the_video_s_size_luma_is_untouched(video, matrix, full_range, seed):
    (picture, image), expected = both(noise(video, matrix, full_range, seed), video)
    assert torch.equal(picture[:, 0], expected[0][:, 0])
    torch.testing.assert_close(picture, expected[0], rtol=0, atol=5e-3)
    torch.testing.assert_close(image, expected[1], rtol=1e-5, atol=1e-4)
    assert image.is_contiguous(memory_format=torch.channels_last)
    assert picture.is_contiguous(memory_format=torch.channels_last)


@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.integers(0, 99))
def test_of_even_sides_every_level_is_exact(half, seed):
    video = (2 * half[0], 2 * half[1])
    (picture, _), expected = both(noise(video, seed=seed), video)
    assert torch.equal(picture, expected[0])


@given(sizes, sizes, st.integers(0, 99))
def test_scaled_up_or_down(video, box, seed):
    assume(fit(video, box)[0] > 1)
    (picture, image), expected = both(noise(video, seed=seed), box)
    torch.testing.assert_close(picture, expected[0], rtol=0, atol=0.02)
    torch.testing.assert_close(image, expected[1], rtol=0, atol=1e-3)


@given(st.integers(0, 99))
def test_bfloat16_is_rounded_to_the_nearest(seed):
    frame = noise((64, 48), seed=seed)
    (_, whole), _ = both(frame, (64, 48))
    (_, half), _ = both(frame, (64, 48), torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, whole.to(torch.bfloat16))


def test_planes_of_a_wider_picture_are_read_by_their_own_rows():
    frame = noise((40, 20))
    views = []
    for plane in (frame.y, frame.u, frame.v):
        wide = np.full((plane.shape[0], 64), 255, np.uint8)
        wide[:, : plane.shape[1]] = plane
        views.append(wide[:, : plane.shape[1]])
    view = both(key_frame(views), (40, 20))[0]
    for one, other in zip(both(frame, (40, 20))[0], view, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("size, scaled", [(7, 7), (100, 25), (25, 100), (1, 9), (9, 1), (50, 33)])
def test_weights_of_a_pixel_are_those_of_pixels_inside_and_add_up_to_one(size, scaled):
    first, weights = taps(size, scaled, scaled + 3)
    assert first.min() >= 0 and first.max() + len(weights) <= size
    np.testing.assert_allclose(weights.sum(0), 1, rtol=1e-6)
    assert (weights >= 0).all()
    assert (first[scaled:] == first[scaled - 1]).all()
    assert (weights[:, scaled:] == weights[:, scaled - 1 : scaled]).all()
