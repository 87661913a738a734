"""What TWNet is held against, in the network's own form."""

from torch import Tensor, nn

from twnet_ros.net import FeatureState, TWNet, to_grid, warp


class CarriedLogits(nn.Module):
    """Warping only: the key frame's logits are carried along and never corrected.

    With ``moving`` false they are repeated as they are, without motion.
    """

    def __init__(self, network: TWNet, moving: bool) -> None:
        super().__init__()
        self.network, self.moving = network, moving
        self.config = network.config

    def key(self, image: Tensor) -> tuple[Tensor, FeatureState]:
        """Take the network's key step."""
        logits, _ = self.network.key(image)
        return logits, FeatureState(logits, 0)

    def nonkey(
        self, image: Tensor, motion: Tensor, residual: Tensor, state: FeatureState
    ) -> tuple[Tensor, FeatureState]:
        """Return the state's logits, warped where they move."""
        logits = state.context
        if self.moving:
            stride = motion.shape[-1] // logits.shape[-1]
            logits = warp(logits, to_grid(motion, stride))
        return logits, FeatureState(logits, state.distance + 1)
