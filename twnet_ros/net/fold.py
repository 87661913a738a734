"""The network as it runs: batch norms folded into the convolutions before them."""

from torch import nn
from torch.nn.utils import fuse_conv_bn_eval


def fold(network: nn.Module) -> None:
    """Replace each convolution and the batch norm behind it by one convolution, in place.

    ``network`` is in evaluation mode and in float32, so that what it computes changes by rounding
    alone. Its tensors have other names afterwards: it is for running, not for saving. A batch norm
    that goes by the statistics of what it is given stays.
    """
    for part in list(network.modules()):
        if not isinstance(part, nn.Sequential):
            continue
        for index in range(len(part) - 1):
            first, second = part[index], part[index + 1]
            if (
                isinstance(first, nn.Conv2d)
                and isinstance(second, nn.BatchNorm2d)
                and second.running_mean is not None
            ):
                part[index] = fuse_conv_bn_eval(first, second)
                part[index + 1] = nn.Identity()
