"""The pass out: labels at the video's size."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from twnet_ros.segment.input import Geometry
from twnet_ros.segment.output import _taps, label, label_by_torch

MARGIN = 1e-3  # pixels whose two best classes are closer than that may go either way


def smooth_logits(classes, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 4 * torch.randn(1, classes, height, width, generator=generator)


def agree(labels, scores):
    """Compare labels (H, W) with the scores (H, W, C) they should maximise."""
    assert labels.dtype == np.uint8
    assert labels.shape == scores.shape[:2]
    ordered = np.sort(scores, -1)
    clear = ordered[..., -1] - ordered[..., -2] > MARGIN
    assert clear.mean() > 0.98
    np.testing.assert_array_equal(labels[clear], scores.argmax(-1)[clear])


def slow(logits, geometry, stride=4):
    """Interpolate the logits at the centre of each pixel of the video, one at a time."""
    grid = logits[0].double().permute(1, 2, 0).numpy()
    rows, columns = grid.shape[:2]
    (width, height), (net_w, net_h) = geometry.video, geometry.net
    scores = np.empty((height, width, grid.shape[2]))
    for j in range(height):
        for i in range(width):
            x = min(max((i + 0.5) * net_w / width / stride - 0.5, 0), columns - 1)
            y = min(max((j + 0.5) * net_h / height / stride - 0.5, 0), rows - 1)
            x0, y0 = int(x), int(y)
            x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
            a, b = x - x0, y - y0
            upper = (1 - a) * grid[y0, x0] + a * grid[y0, x1]
            lower = (1 - a) * grid[y1, x0] + a * grid[y1, x1]
            scores[j, i] = (1 - b) * upper + b * lower
    return scores


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_an_exact_scale_is_interpolate_and_argmax(factor):
    net = (128, 64)
    video = (net[0] * factor, net[1] * factor)
    logits = smooth_logits(19, 16, 32)
    labels = label(logits, Geometry.of(video, net))
    size = (video[1], video[0])
    full = F.interpolate(logits.double(), size, mode="bilinear", align_corners=False)
    agree(labels, full[0].permute(1, 2, 0).numpy())


@pytest.mark.parametrize(
    "video, box",
    [
        ((90, 70), (64, 64)),  # scaled down, padded below
        ((50, 34), (96, 96)),  # scaled up
        ((37, 61), (64, 64)),  # odd, padded to the right
        ((96, 64), (96, 64)),  # as it is
    ],
)
@pytest.mark.parametrize("stride", [4, 8])
def test_any_scale_padding_and_stride(video, box, stride):
    geometry = Geometry.of(video, box)
    width, height = geometry.padded
    logits = smooth_logits(5, height // stride, width // stride)
    agree(label(logits, geometry), slow(logits, geometry, stride))


@pytest.mark.parametrize("video, box", [((512, 256), (128, 64)), ((90, 70), (64, 64))])
def test_wide_areas_of_a_class_and_their_borders(video, box):
    geometry = Geometry.of(video, box)
    width, height = geometry.padded
    generator = torch.Generator().manual_seed(2)
    areas = 9 * torch.randn(1, 6, height // 16, width // 16, generator=generator)
    logits = areas.repeat_interleave(4, 2).repeat_interleave(4, 3)
    logits += torch.randn(logits.shape, generator=generator)
    labels = label(logits, geometry)
    agree(labels, slow(logits, geometry))
    assert (labels[:, 1:] == labels[:, :-1]).mean() > 0.8


def test_padding_never_shows():
    geometry = Geometry.of((72, 40), (72, 40))
    assert geometry.padded == (96, 64)
    logits = torch.zeros(1, 2, 16, 24)
    logits[:, 1, 11:], logits[:, 1, :, 19:] = 9, 9  # wholly below or right of the picture
    logits[:, 0] = 1
    labels = label(logits, geometry)
    assert labels.shape == (40, 72)
    assert not labels[:38, :70].any()


@pytest.mark.parametrize("video, box", [((90, 70), (64, 64)), ((64, 32), (64, 32))])
def test_both_devices_paths_agree(video, box):
    geometry = Geometry.of(video, box)
    logits = smooth_logits(11, geometry.padded[1] // 4, geometry.padded[0] // 4, seed=3)
    rows = _taps(geometry, 1, logits.shape[2])
    columns = _taps(geometry, 0, logits.shape[3])
    by_torch = label_by_torch(logits, rows, columns).numpy()
    same = label(logits, geometry) == by_torch
    assert same.mean() > 0.999
    clear = np.sort(slow(logits, geometry), -1)
    clear = clear[..., -1] - clear[..., -2] > MARGIN
    assert same[clear].all()


def test_logits_may_be_half_precision_and_channels_last():
    geometry = Geometry.of((96, 64), (96, 64))
    logits = smooth_logits(7, 16, 24).to(torch.bfloat16)
    expected = label(logits.float(), geometry)
    np.testing.assert_array_equal(label(logits, geometry), expected)
    strided = logits.contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(label(strided, geometry), expected)
