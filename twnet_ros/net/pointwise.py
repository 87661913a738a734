"""The network as it runs on one thread: 1x1 convolutions by oneDNN all the same."""

import torch
from torch import Tensor, nn


class _Pointwise(nn.Conv2d):
    """A 1x1 convolution that oneDNN computes on any number of threads."""

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        return torch.mkldnn_convolution(
            input, self.weight, self.bias, (0, 0), (1, 1), (1, 1), self.groups
        )


def keep_onednn(network: nn.Module) -> None:
    """Have oneDNN compute each 1x1 convolution, in place: for running on a CPU in float32.

    PyTorch's own choice is oneDNN too, but on one thread a kernel of its own, which lets the whole
    step take one and a half times as long.
    """
    for part in list(network.modules()):
        for name, child in part.named_children():
            if type(child) is nn.Conv2d and child.kernel_size == (1, 1) == child.stride:
                made = _Pointwise(child.in_channels, child.out_channels, 1, groups=child.groups)
                made.weight, made.bias = child.weight, child.bias
                setattr(part, name, made)
