"""The losses of the two training steps."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from twnet_ros.learn.training import parallel
from twnet_ros.segment.palette import UNLABELLED


def segmentation_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Softmax cross entropy of logits (N, C, h, w) against train ids (N, H, W).

    The logits are upsampled bilinearly to the labels' size first; unlabelled pixels do not
    count; ``weights`` (C,) weigh the classes. Zero where nothing is labelled. Of several processes
    each divides by the mean of their pixels' weights, so that the mean of their losses is that of
    the whole batch.
    """
    logits = F.interpolate(logits.float(), labels.shape[-2:], mode="bilinear", align_corners=False)
    loss = F.cross_entropy(
        logits, labels.long(), weights, ignore_index=UNLABELLED, reduction="sum"
    )
    known = labels[labels != UNLABELLED].long()
    weight = known.new_tensor(len(known)) if weights is None else weights[known].sum()
    return loss / parallel.mean(weight.float()).clamp_min(1e-6)


def consistency_loss(context: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of a corrected context and the key-frame CNN's own (eq. 8).

    The mean is over all elements; the target takes no gradient.
    """
    return F.mse_loss(context.float(), target.detach().float())


def equation_8(segmentation: Tensor, consistency: Tensor, weight: float) -> Tensor:
    """Return the loss of the second step; ``weight`` is lambda."""
    return segmentation + weight * consistency


def class_weights(histogram: NDArray[np.int64]) -> Tensor:
    """Return the weights ``1 / ln(1.1 + f)`` of classes whose pixel counts are given.

    ValueError where there are none.
    """
    if not histogram.any():
        raise ValueError("expected labels of the classes in what is trained on, found none")
    frequency = torch.from_numpy(histogram / histogram.sum()).float()
    return 1 / torch.log(1.1 + frequency)
