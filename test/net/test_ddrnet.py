"""DDRNet-23-slim against its paper's figures and tables, written down as a function of weights."""

import pytest
import torch
import torch.nn.functional as F

WINDOWS = [(5, 2), (9, 4), (17, 8)]  # of DAPPM: side and stride


class Weights:
    """Layers by the names of their weights."""

    def __init__(self, tensors):
        self.tensors = tensors

    def norm(self, x, name):
        mean, variance, gain, shift = (
            self.tensors[f"{name}.{part}"]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, gain, shift)

    def conv(self, x, name, stride=1):
        weight = self.tensors[f"{name}.weight"]
        bias = self.tensors.get(f"{name}.bias")
        return F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2)

    def normed(self, x, name, stride=1, first=0):
        """Convolve, then normalise, by the parts ``first`` and the next of what has the name."""
        x = self.conv(x, f"{name}.{first}", stride)
        return self.norm(x, f"{name}.{first + 1}")

    def preactivated(self, x, name):
        return self.conv(F.relu(self.norm(x, f"{name}.0")), f"{name}.2")

    def block(self, x, name, strides):
        """Return the sum of a residual block, before its ReLU; there is one between its layers."""
        y = x
        for place, stride in enumerate(strides):
            y = self.normed(F.relu(y) if place else y, f"{name}.body", stride, 3 * place)
        if f"{name}.shortcut.0.weight" in self.tensors:
            x = self.normed(x, f"{name}.shortcut", max(strides))
        return x + y

    def pair(self, x, name, stride=1):
        """Return the sum of the second of two basic blocks."""
        x = F.relu(self.block(x, f"{name}.0", (stride, 1)))
        return self.block(x, f"{name}.1", (1, 1))


def enlarge(x, size):
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def dappm(net, x, name):
    """Aggregate averages over windows, from the smallest to the whole picture (their eq. 5)."""
    pooled = [F.avg_pool2d(x, side, stride, side // 2) for side, stride in WINDOWS]
    pooled.append(x.mean((2, 3), keepdim=True))
    parts = [net.preactivated(x, f"{name}.reduce.0")]
    for scale, average in enumerate(pooled):
        y = enlarge(net.preactivated(average, f"{name}.reduce.{scale + 1}"), x.shape[2:])
        parts.append(net.preactivated(y + parts[-1], f"{name}.smooth.{scale}"))
    y = net.preactivated(torch.cat(parts, 1), f"{name}.fuse")
    return y + net.preactivated(x, f"{name}.shortcut")


def trunk(net, image):
    """Return the features of the stem, at 1/4, and of the whole trunk, at 1/8."""
    x = F.relu(net.normed(image, "stages.0", 2))
    stem = F.relu(net.normed(x, "stages.0", 2, 3))
    x = F.relu(net.pair(stem, "stages.1"))
    return stem, F.relu(net.pair(x, "stages.2", 2))


def branches(net, x):
    """Return the sum of both branches, which give to each other twice (their fig. 4)."""
    low = high = x
    for stage in ("third", "fourth"):
        low = net.pair(low, f"{stage}.low", 2)
        high = net.pair(high, f"{stage}.high")
        down = net.normed(F.relu(high), f"{stage}.down", 2)
        if stage == "fourth":
            down = net.normed(F.relu(down), f"{stage}.down", 2, 3)
        up = net.normed(F.relu(low), f"{stage}.compress")
        low, high = F.relu(low + down), F.relu(high + enlarge(up, high.shape[2:]))
    high = net.block(high, "high", (1, 1, 1))
    low = dappm(net, net.block(low, "low.0", (1, 2, 1)), "low.1")
    return high + enlarge(low, high.shape[2:])


def logits(net, image, layer):
    """Return those of the segmentation head: of layer 3 as published, else with the lateral."""
    stem, x = trunk(net, image)
    total = F.relu(net.norm(branches(net, x), "finish.0"))
    if layer == 3:
        return net.conv(F.relu(net.normed(total, "classifier")), "classifier.3")
    context = F.relu(net.normed(total, "finish", 1, 2))
    lateral = net.normed(x, "laterals.0") if layer == 1 else net.normed(stem, "laterals.0", 2)
    return net.conv(F.relu(net.normed(context + lateral, "fuses.0.smooth")), "classifier")


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_the_key_step_computes_what_the_paper_draws(network, randomise, layer):
    model = randomise(network(backbone="ddrnet23slim", layer=layer)).double()
    generator = torch.Generator().manual_seed(5)
    # So wide that the largest window finds several places at 1/64.
    image = torch.randn(1, 3, 128, 640, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        found, _ = model.key(image)
        expected = logits(Weights(model.keyframe.uncut()), image, layer)
    assert found.shape == (1, 3, 16, 80)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
