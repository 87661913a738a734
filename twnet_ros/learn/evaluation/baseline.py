"""What TWNet is held against, in the network's own form."""

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from twnet_ros.net import FeatureState, TWNet, warp


def uncorrected(network: TWNet) -> TWNet:
    """Return NKFC, not fine-tuned: the key-frame CNN's own head and tail, and no correction."""
    made = copy.deepcopy(network)
    made.copy_key_parts()
    made.corrects = False
    made.config = replace(network.config, correction="none")
    return made


def unfused(network: TWNet) -> TWNet:
    """Return the same weights for an engine that fuses no logits."""
    made = copy.copy(network)
    if made.config.fuses:
        made.config = replace(network.config, correction="rga")
    return made


class CarriedLogits(nn.Module):
    """Warping only: the key frame's logits are carried along and never corrected."""

    def __init__(self, network: TWNet) -> None:
        super().__init__()
        self.network = network
        self.config = replace(network.config, correction="none")

    def key(self, image: Tensor) -> tuple[Tensor, FeatureState]:
        """Take the network's key step."""
        logits, _ = self.network.key(image)
        return logits, FeatureState(logits, 0)

    def nonkey(
        self, image: Tensor, motion: Tensor, residual: Tensor, state: FeatureState
    ) -> tuple[Tensor, FeatureState]:
        """Return the state's logits where they have moved to."""
        logits = warp(state.context, motion)
        return logits, FeatureState(logits, state.distance + 1)


class CarriedFeature(nn.Module):
    """Warping only, of the deepest feature: it is carried along and classified; no head runs.

    Along the codec's vectors that is Prop-mv (Jain and Gonzalez, 2018), along optical flow Deep
    Feature Flow (Zhu et al., 2017). The feature is the one in front of the classifier, the paper's
    context layer 3, whichever layer the network keeps.
    """

    def __init__(self, network: TWNet) -> None:
        super().__init__()
        self.config = replace(network.config, correction="none")
        self.keyframe = network.keyframe

    def key(self, image: Tensor) -> tuple[Tensor, FeatureState]:
        """Take the network's key step."""
        parts = self.keyframe
        head = parts.head(image)
        feature = parts.tail.decode(parts.context(head), head)
        return parts.tail.classifier(feature), FeatureState(feature, 0)

    def nonkey(
        self, image: Tensor, motion: Tensor, residual: Tensor, state: FeatureState
    ) -> tuple[Tensor, FeatureState]:
        """Classify the state's feature where it has moved to."""
        feature = warp(state.context, motion)
        after = FeatureState(feature, state.distance + 1)
        return self.keyframe.tail.classifier(feature), after


class TracedFeature(CarriedFeature):
    """Keeps the motion, too: behind the feature's channels two more, (dx, dy) in feature pixels.

    It is that which last led to the feature, at a key frame zero, in the network's precision.
    """

    def key(self, image: Tensor) -> tuple[Tensor, FeatureState]:
        """Take the network's key step."""
        logits, state = super().key(image)
        still = torch.zeros_like(state.context[:, :2])
        return logits, FeatureState(torch.cat([state.context, still], 1), 0)

    def nonkey(
        self, image: Tensor, motion: Tensor, residual: Tensor, state: FeatureState
    ) -> tuple[Tensor, FeatureState]:
        """Classify the state's feature where it has moved to."""
        before = FeatureState(state.context[:, :-2], state.distance)
        logits, after = super().nonkey(image, motion, residual, before)
        traced = torch.cat([after.context, motion.to(after.context.dtype)], 1)
        return logits, FeatureState(traced, after.distance)
