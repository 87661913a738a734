"""Pictures as the network takes them."""

import cv2
import numpy as np
import torch
from torch import Tensor

from twnet_ros.net import Config
from twnet_ros.segment.input import Geometry
from twnet_ros.segment.palette import UNLABELLED
from twnet_ros.segment.picture import Picture


def normalise(rgb: Tensor, config: Config) -> Tensor:
    """Turn uint8 RGB (N, H, W, 3) into the network's input (N, 3, H, W), channels last."""
    mean, std = (torch.tensor(value, device=rgb.device) for value in (config.mean, config.std))
    return ((rgb.float() - mean) / std).permute(0, 3, 1, 2)


def network_image(rgb: Picture, geometry: Geometry, config: Config) -> Tensor:
    """Return a picture (H, W, 3) as the input (1, 3, h, w) that it would be uncompressed.

    It is scaled to fit, and its lower and right border are repeated as padding.
    """
    if geometry.net != geometry.video:
        shrinks = geometry.net < geometry.video
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        rgb = np.asarray(cv2.resize(rgb, geometry.net, interpolation=method), np.uint8)
    sides = zip(geometry.padded, geometry.net, strict=True)
    right, below = (whole - part for whole, part in sides)
    padded = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return normalise(torch.from_numpy(padded)[None], config)


def network_labels(labels: Picture, geometry: Geometry) -> Picture:
    """Return train ids (H, W) of a picture as those of ``network_image``'s pixels (h, w).

    Each is that of the nearest pixel; padding is unlabelled.
    """
    sides = zip(geometry.net[::-1], geometry.video[::-1], strict=True)
    row, column = (((np.arange(net) + 0.5) * video / net).astype(int) for net, video in sides)
    padded = np.full(geometry.padded[::-1], UNLABELLED, np.uint8)
    padded[: len(row), : len(column)] = labels[row[:, None], column]
    return padded
