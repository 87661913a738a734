"""The score of the key-frame CNN on single pictures."""

import numpy as np
import pytest
import torch

from twnet_ros.learn.evaluation.picture import score_pictures


@pytest.mark.parametrize("backbone", ["mobilenetv1", "ddrnet23slim"])  # logits at 1/4 and 1/8
@torch.no_grad()
def test_pictures_of_any_size_are_scored(network, backbone):
    model = network(backbone=backbone)
    classifier = model.keyframe.tail.classifier
    classifier.weight.zero_()
    classifier.bias.copy_(torch.tensor([0.0, 5.0, 0.0]))  # always sky
    rgb = np.zeros((50, 70, 3), np.uint8)  # no multiple of 32
    labels = np.ones((50, 70), np.uint8)
    assert score_pictures(model, [(rgb, labels)]) == 100
    labels[:25] = 0
    assert score_pictures(model, [(rgb, labels)]) == pytest.approx(25)  # 50 of sky, 0 of road
