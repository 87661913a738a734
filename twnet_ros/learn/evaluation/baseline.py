"""What TWNet is held against, in the network's own form."""

import copy
from dataclasses import dataclass, replace

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
    """Warping only: the key frame's logits are carried along and never corrected.

    With ``moving`` false they are repeated as they are, without motion.
    """

    def __init__(self, network: TWNet, moving: bool) -> None:
        super().__init__()
        self.network, self.moving = network, moving
        self.config = replace(network.config, correction="none")

    def key(self, image: Tensor) -> tuple[Tensor, FeatureState]:
        """Take the network's key step."""
        logits, _ = self.network.key(image)
        return logits, FeatureState(logits, 0)

    def nonkey(
        self, image: Tensor, motion: Tensor, residual: Tensor, state: FeatureState
    ) -> tuple[Tensor, FeatureState]:
        """Return the state's logits, warped where they move."""
        logits = warp(state.context, motion) if self.moving else state.context
        return logits, FeatureState(logits, state.distance + 1)


@dataclass(frozen=True, slots=True)
class MovedState(FeatureState):
    """A feature that was carried along, and the motion on its grid that last led to it."""

    motion: Tensor | None  # (N, 2, h, w) in feature pixels; None at a key frame


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
        return parts.tail.classifier(feature), MovedState(feature, 0, None)

    def nonkey(
        self, image: Tensor, motion: Tensor, residual: Tensor, state: FeatureState
    ) -> tuple[Tensor, FeatureState]:
        """Classify the state's feature where it has moved to."""
        feature = warp(state.context, motion)
        after = MovedState(feature, state.distance + 1, motion)
        return self.keyframe.tail.classifier(feature), after
