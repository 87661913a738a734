"""The pass out: labels and confidence at the size that is wished for."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from twnet_ros.segment import UNLABELLED, SegmentError, Wish
from twnet_ros.segment.input import Geometry
from twnet_ros.segment.output import classify, label, label_by_torch, rate_by_torch

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


def areas_of_classes(geometry, classes=6, sure=9):
    """Logits at stride 4 of areas that are wide and mostly sure of themselves."""
    width, height = geometry.padded
    generator = torch.Generator().manual_seed(2)
    areas = sure * torch.randn(1, classes, height // 16, width // 16, generator=generator)
    logits = areas.repeat_interleave(4, 2).repeat_interleave(4, 3)
    return logits + torch.randn(logits.shape, generator=generator)


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
    logits = areas_of_classes(geometry)
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
    by_torch = label_by_torch(logits, geometry, video).numpy()
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


GEOMETRIES = [
    ((512, 256), (128, 64)),  # the video is larger than the network's picture
    ((90, 70), (64, 64)),  # scaled down, padded below
    ((37, 61), (64, 64)),  # odd, scaled up, padded to the right
    ((700, 40), (704, 64)),  # more than one block of a row
]


@pytest.mark.parametrize("video, box", GEOMETRIES)
@pytest.mark.parametrize("make", [areas_of_classes, lambda g: areas_of_classes(g, 19, sure=0)])
def test_confidence_is_the_softmax_of_the_interpolated_logits(video, box, make):
    geometry = Geometry.of(video, box)
    logits = make(geometry)
    labels, confidence = classify(logits, geometry, Wish(confidence=True))
    scores = slow(logits, geometry)
    agree(labels, scores)
    probability = torch.from_numpy(scores).softmax(-1).amax(-1).numpy()
    assert confidence.dtype == np.uint8 and confidence.std() > 5
    assert np.abs(confidence - 255 * probability).max() <= 1
    assert (confidence == np.rint(255 * probability)).mean() > 0.98


def test_an_exact_scale_is_interpolate_and_softmax():
    logits = smooth_logits(19, 16, 32)
    _, confidence = classify(logits, Geometry.of((512, 256), (128, 64)), Wish(confidence=True))
    full = F.interpolate(logits, (256, 512), mode="bilinear", align_corners=False)
    expected = 255 * full.softmax(1).amax(1)[0].numpy()
    assert np.abs(confidence - expected).max() <= 1


def test_both_devices_paths_leave_out_padding_where_labels_are_as_many_as_logits():
    geometry, wish = Geometry.of((90, 70), (64, 64)), Wish(scale=16 / 70)
    logits = areas_of_classes(geometry, sure=3)
    assert geometry.net[1] < geometry.padded[1] and wish.size((90, 70))[1] == logits.shape[2]
    found, _ = classify(logits, geometry, wish)
    by_torch = label_by_torch(logits, geometry, wish.size((90, 70))).numpy()
    assert found.shape == by_torch.shape == (16, 21)
    assert (found == by_torch).mean() > 0.99


@pytest.mark.parametrize("video, box", GEOMETRIES)
def test_both_devices_paths_rate_alike(video, box):
    geometry, wish = Geometry.of(video, box), Wish(confidence=True, least_confidence=0.6)
    logits = areas_of_classes(geometry, sure=3)
    labels, confidence = (part.numpy() for part in rate_by_torch(logits, geometry, video, 0.6))
    found, rated = classify(logits, geometry, wish)
    assert np.abs(rated.astype(int) - confidence).max() <= 1
    clear = np.abs(confidence - 0.6 * 255) > 1
    assert (found == labels)[clear].mean() > 0.999
    assert 0.1 < (found == UNLABELLED).mean() < 0.9


@pytest.mark.parametrize("confidence", [False, True])
def test_pixels_of_little_confidence_are_unlabelled(confidence):
    geometry = Geometry.of((90, 70), (64, 64))
    logits = areas_of_classes(geometry, sure=3)
    plain, rated = classify(logits, geometry, Wish(confidence=True))
    wish = Wish(confidence=confidence, least_confidence=0.7)
    labels, again = classify(logits, geometry, wish)
    assert (again is not None) == confidence
    if confidence:  # what is left out keeps it
        np.testing.assert_array_equal(again, rated)
    sure, unsure = rated > 0.7 * 255 + 1, rated < 0.7 * 255 - 1
    assert sure.any() and unsure.any()
    np.testing.assert_array_equal(labels[sure], plain[sure])
    assert (labels[unsure] == UNLABELLED).all()


@pytest.mark.parametrize("scale", [0.5, 0.3, 0.999, 1e-6])
@pytest.mark.parametrize("confidence", [False, True])
def test_labels_of_another_size_come_straight_from_the_logits(scale, confidence):
    geometry = Geometry.of((90, 71), (64, 64))
    logits = areas_of_classes(geometry)
    wish = Wish(confidence, scale=scale)
    size = max(1, round(scale * 90)), max(1, round(scale * 71))
    assert wish.size(geometry.video) == size
    labels, rated = classify(logits, geometry, wish)
    assert labels.shape == size[::-1]
    # A video of that size that the network saw as large.
    small = Geometry(size, geometry.net, geometry.padded)
    scores = slow(logits, small)
    agree(labels, scores)
    if confidence:
        probability = torch.from_numpy(scores).softmax(-1).amax(-1).numpy()
        assert np.abs(rated - 255 * probability).max() <= 1


def test_logits_that_differ_by_more_than_floats_hold_are_sure():
    logits = torch.full((1, 3, 8, 8), -1e30)
    logits[:, 1] = 1e30
    labels, rated = classify(logits, Geometry.of((32, 32), (32, 32)), Wish(confidence=True))
    assert (labels == 1).all() and (rated == 255).all()


@pytest.mark.parametrize("scale", [0.0, -0.5, 1.01, float("nan")])
def test_a_scale_out_of_range(scale):
    with pytest.raises(SegmentError, match="scale: expected 0 < scale <= 1, got"):
        Wish(scale=scale)


@pytest.mark.parametrize("least", [-0.1, 1.5, float("nan")])
def test_a_probability_out_of_range(least):
    with pytest.raises(SegmentError, match="least_confidence: expected a probability .*got"):
        Wish(least_confidence=least)
