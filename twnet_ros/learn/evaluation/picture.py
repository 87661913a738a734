"""Scoring the key-frame CNN on single pictures."""

from collections.abc import Iterable

import numpy as np
import torch

from twnet_ros.learn.data.image import network_image
from twnet_ros.learn.evaluation.metric import Confusion
from twnet_ros.net import TWNet
from twnet_ros.net.layer import resize
from twnet_ros.segment.input import Geometry
from twnet_ros.segment.picture import Picture


def score_pictures(
    model: TWNet, pictures: Iterable[tuple[Picture, Picture]], device: str = "cpu"
) -> float:
    """Return the mIoU of the key-frame CNN on labelled pictures, each scaled to its input size."""
    confusion = Confusion(len(model.config.classes))
    for rgb, labels in pictures:
        height, width = labels.shape
        geometry = Geometry.of((width, height), model.config.input_size)
        logits, _ = model.key(network_image(rgb, geometry, model.config).to(device))
        padded = resize(logits.float(), torch.Size(geometry.padded[::-1]))
        seen = padded[..., : geometry.net[1], : geometry.net[0]]
        predicted = resize(seen, torch.Size(labels.shape))[0].argmax(0)
        confusion.add(labels, predicted.cpu().numpy().astype(np.uint8))
    return confusion.miou()
