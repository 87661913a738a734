"""The network as it runs on a CPU: convolution, sum and activation in one pass over memory.

In eager mode PyTorch makes each of them a pass of its own, which at the head's resolutions takes
as long as the convolution. oneDNN takes what follows as part of its convolution; the operators
are those that torch.compile calls, without the compiler.
"""

import torch
from torch import Tensor, nn

from twnet_ros.net.layer import Residual

Activation = tuple[str, list[float]]  # oneDNN's name and its parameters

NONE: Activation = ("none", [])
ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
}


def use_onednn(network: nn.Module) -> None:
    """Have oneDNN compute each convolution with what follows it, in place: for running on a CPU.

    Batch norms have been folded. In bfloat16 the processor has instructions for it. On one thread,
    too: there PyTorch would take a kernel of its own for 1x1 convolutions in float32, with which a
    step takes one and a half times as long.
    """
    for name, child in list(network.named_children()):
        use_onednn(child)
        if type(child) is nn.Conv2d and _pads_with_zeros(child):
            setattr(network, name, _Convolution(child))
        elif isinstance(child, Residual) and _ends_in_sum(child.body):
            setattr(network, name, _Sum(child))
    if isinstance(network, nn.Sequential):
        _take_activations(network)


class _Convolution(nn.Module):
    """A convolution and the activation behind it, if there is one."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.activation = NONE
        self._geometry = conv.padding, conv.stride, conv.dilation, conv.groups

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, h, w)."""
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self._geometry, *self.activation, ""
        )
        return result

    def add(self, x: Tensor, other: Tensor, activation: str | None) -> Tensor:
        """Do the same, and add (N, outputs, h, w) before the activation."""
        result: Tensor = torch.ops.mkldnn._convolution_pointwise.binary(
            x, other, self.weight, self.bias, *self._geometry, "add", 1.0, activation, [], ""
        )
        return result


class _Sum(nn.Module):
    """A residual block whose last convolution adds the shortcut."""

    def __init__(self, block: Residual) -> None:
        super().__init__()
        parts = _present(block.body)
        self.body, self.last = nn.Sequential(*parts[:-1]), parts[-1]
        self.shortcut = block.shortcut
        self.activation = "relu" if block.activate else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, h, w)."""
        assert isinstance(self.last, _Convolution)
        return self.last.add(self.body(x), self.shortcut(x), self.activation)


def _take_activations(parts: nn.Sequential) -> None:
    """Give each convolution the activation behind it, which leaves an identity."""
    last: nn.Module | None = None
    for index, part in enumerate(parts):
        if isinstance(last, _Convolution) and type(part) in ACTIVATIONS:
            last.activation = ACTIVATIONS[type(part)]
            parts[index] = nn.Identity()
            last = None
        elif not isinstance(part, nn.Identity):
            last = part


def _present(parts: nn.Sequential) -> list[nn.Module]:
    return [part for part in parts if not isinstance(part, nn.Identity)]


def _pads_with_zeros(conv: nn.Conv2d) -> bool:
    return conv.padding_mode == "zeros" and not isinstance(conv.padding, str)


def _ends_in_sum(body: nn.Sequential) -> bool:
    """Say whether nothing stands between the last convolution of a residual block and its sum."""
    last = _present(body)[-1]
    return isinstance(last, _Convolution) and last.activation == NONE
