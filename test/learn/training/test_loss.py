"""The pieces of equation 8, by hand."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from twnet_ros.learn.training.loss import (
    class_weights,
    consistency_loss,
    equation_8,
    segmentation_loss,
)


def test_segmentation_is_the_mean_cross_entropy():
    logits = torch.tensor([[[[2.0, 0.0]], [[0.0, 1.0]]]])  # two classes, 1 x 2 pixels
    labels = torch.tensor([[[0, 0]]], dtype=torch.uint8)
    first = -math.log(math.exp(2) / (math.exp(2) + 1))
    second = -math.log(1 / (1 + math.e))
    loss = segmentation_loss(logits, labels)
    assert float(loss) == pytest.approx((first + second) / 2, rel=1e-5)


def test_unlabelled_pixels_do_not_count():
    logits = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[[0, 255], [255, 2]]], dtype=torch.uint8)
    log = logits.log_softmax(1)
    expected = -(log[0, 0, 0, 0] + log[0, 2, 1, 1]) / 2
    assert float(segmentation_loss(logits, labels)) == pytest.approx(float(expected), rel=1e-5)


def test_classes_are_weighed():
    logits = torch.randn(1, 2, 1, 2, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([[[0, 1]]], dtype=torch.uint8)
    a, b = (-logits.log_softmax(1)[0, c, 0, c] for c in (0, 1))
    loss = segmentation_loss(logits, labels, torch.tensor([3.0, 1.0]))
    assert float(loss) == pytest.approx(float((3 * a + b) / 4), rel=1e-5)


def test_logits_are_brought_to_the_labels_size():
    logits = torch.randn(1, 3, 4, 6, generator=torch.Generator().manual_seed(2))
    labels = torch.randint(0, 3, (1, 16, 24), generator=torch.Generator().manual_seed(3))
    full = F.interpolate(logits, (16, 24), mode="bilinear", align_corners=False)
    log = full.log_softmax(1).gather(1, labels[:, None])
    loss = segmentation_loss(logits.bfloat16().float(), labels.to(torch.uint8))
    assert float(loss) == pytest.approx(float(-log.mean()), rel=1e-2)
    assert segmentation_loss(logits.bfloat16(), labels).dtype == torch.float32


def test_consistency_is_the_mean_over_all_elements():
    context = torch.zeros(2, 3, 4, 5)
    target = torch.zeros(2, 3, 4, 5)
    target[0, 0, 0, 0] = 6.0
    assert float(consistency_loss(context, target)) == pytest.approx(36 / 120)


def test_equation_8_by_hand():
    """Two pixels of two classes, a context of two elements that is 3 and 1 off, lambda 10."""
    logits = torch.tensor([[[[0.0, 0.0]], [[0.0, 0.0]]]])
    labels = torch.tensor([[[0, 1]]], dtype=torch.uint8)
    context, target = torch.tensor([[[[4.0, 1.0]]]]), torch.tensor([[[[1.0, 2.0]]]])
    both = segmentation_loss(logits, labels), consistency_loss(context, target)
    assert float(equation_8(*both, 10)) == pytest.approx(math.log(2) + 10 * (9 + 1) / 2)


def test_only_the_corrected_context_is_pulled():
    context = torch.ones(1, 1, 1, 2, requires_grad=True)
    target = torch.zeros(1, 1, 1, 2, requires_grad=True)
    consistency_loss(context, target).backward()
    assert target.grad is None
    assert context.grad.flatten().tolist() == [1, 1]  # 2 * difference / elements


def test_rare_classes_weigh_more():
    weights = class_weights(np.array([90, 10, 0], np.int64))
    expected = [1 / math.log(1.1 + f) for f in (0.9, 0.1, 0.0)]
    assert weights.tolist() == pytest.approx(expected, rel=1e-5)
    assert weights.dtype == torch.float32


def test_data_without_labels_of_the_classes_weighs_nothing():
    with pytest.raises(ValueError, match="expected labels of the classes in what is trained on"):
        class_weights(np.zeros(3, np.int64))


def test_nothing_labelled_is_nothing_lost():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = segmentation_loss(logits, torch.full((1, 8, 8), 255, dtype=torch.uint8))
    loss.backward()
    assert float(loss.detach()) == 0 and not logits.grad.any()
