"""The correction stage: context feature rectification and residual-guided attention."""

import torch
from torch import Tensor, nn


class ContextFeatureRectification(nn.Module):
    """CFR (equation 5): one 3x3 convolution predicts what the warped context lacks.

    It starts at zero, where correcting is the same as warping.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.predict = nn.Conv2d(2 * channels, channels, 3, padding=1)
        for parameter in self.predict.parameters():
            nn.init.zeros_(parameter)

    def forward(self, warped: Tensor, spatial: Tensor) -> Tensor:
        """Return the feature's residual (N, C, h, w) from two features of that shape."""
        missing: Tensor = self.predict(torch.cat([warped, spatial], 1))
        return missing


class ResidualGuidedAttention(nn.Module):
    """RGA (equation 6): one 3x3 convolution and a sigmoid turn the residual into attention.

    The residual enters as its mean magnitude over the feature pixel: signs would cancel. It
    starts attending to everything alike, and little: with a twentieth of what CFR predicts taken
    a frame, evidence adds up over twenty frames, and errors of the past fade as fast.
    """

    LEVELS = 4.0  # brings residuals, a few 8-bit levels, to the order of one
    START = -3.0  # before the sigmoid

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.Conv2d(3, 1, 3, padding=1)
        for parameter, start in zip(self.attend.parameters(), (0.0, self.START), strict=True):
            nn.init.constant_(parameter, start)

    def forward(self, magnitude: Tensor) -> Tensor:
        """Return attention (N, 1, h, w) in (0, 1) from ``residual_magnitude``, (N, 3, h, w)."""
        scaled = magnitude / self.LEVELS
        return torch.sigmoid(self.attend(scaled.to(self.attend.weight.dtype)))
