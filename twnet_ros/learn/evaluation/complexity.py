"""Multiply-accumulates of the two steps."""

import copy
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn

from twnet_ros.learn.evaluation.method import arrange
from twnet_ros.net import TWNet
from twnet_ros.net.correction import ContextFeatureRectification, ResidualGuidedAttention

PRODUCT = "product"  # of attention and what the rectification predicts (equation 7)


def count_macs(network: nn.Module, run: Callable[[], object]) -> Counter[str]:
    """Return the multiply-accumulates of ``run``, by the name of the module they are in.

    Convolutions count, and the product of attention and correction as PRODUCT; warping,
    resizing, normalisation and activations do not, as is usual. ValueError for a network with
    multiplying layers of other kinds.
    """
    macs: Counter[str] = Counter()
    product: Counter[type[nn.Module]] = Counter()

    def convolution(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(module: nn.Module, _: object, output: Tensor) -> None:
            assert isinstance(module, nn.Conv2d)  # hooked below
            macs[name] += output.numel() * module.weight[0].numel()

        return hook

    def correction(module: nn.Module, _: object, output: Tensor) -> None:
        product[type(module)] += output.numel()

    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(convolution(name)))
        elif isinstance(module, ContextFeatureRectification | ResidualGuidedAttention):
            hooks.append(module.register_forward_hook(correction))
        elif isinstance(module, nn.Linear | nn.Conv1d | nn.Conv3d | nn.ConvTranspose2d):
            raise ValueError(f"expected convolutions only, got {name}: {type(module).__name__}")
    try:
        run()
    finally:
        for made in hooks:
            made.remove()
    if product[ResidualGuidedAttention]:
        macs[PRODUCT] = product[ContextFeatureRectification]
    return macs


def step_macs(network: TWNet, size: tuple[int, int]) -> tuple[Counter[str], Counter[str]]:
    """Return the multiply-accumulates of the key and the non-key step, by module.

    ``size`` is the input's (width, height) in pixels, multiples of 32. Nothing is computed.
    """
    width, height = size
    shell = copy.deepcopy(network).to("meta").eval()
    with torch.device("meta"), torch.no_grad():
        image = torch.empty(1, 3, height, width)
        _, state = shell.key(image)
        grid = state.context.shape[-2:]
        motion, residual = torch.empty(1, 2, *grid), torch.empty(1, 3, *grid)
        key = count_macs(shell, lambda: shell.key(image))
        nonkey = count_macs(shell, lambda: shell.nonkey(image, motion, residual, state))
    return key, nonkey


def method_gmacs(model: TWNet, method: str, size: tuple[int, int]) -> tuple[float, float]:
    """Return 10^9 multiply-accumulates of one of METHODS at key frames and at all others.

    Motion is taken to cost nothing: that of optical flow is not counted.
    """
    interpolates = method == "interp_mv"
    network = arrange(model, "prop_mv" if interpolates else method)
    steps = step_macs(network, size)  # type: ignore[arg-type]
    key, nonkey = (sum(macs.values()) / 1e9 for macs in steps)
    if method == "per_frame":
        return key, key
    # Interpolation classifies a second time, the warped features of both sides.
    return key, 2 * nonkey if interpolates else nonkey
