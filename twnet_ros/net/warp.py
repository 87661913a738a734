"""Backward warping, the one coordinate convention of the repository."""

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(x: Tensor, motion: Tensor) -> Tensor:
    """Sample ``x`` where the motion comes from: ``out[p] = x[p + motion[p]]`` (eqs. 1, 2, 4).

    ``x`` is (N, C, H, W); ``motion`` is (N, 2, H, W), ``(dx, dy)`` in pixels of ``x``, backward.
    Pixels are their centres, sampling is bilinear, and positions outside take the border's
    value. Zero motion is the identity and whole-pixel motion an exact copy, bit for bit, which
    normalised sampling grids cannot give. Returns (N, C, H, W) in the type of ``x``.
    """
    n, c, h, w = x.shape
    motion = motion.float()
    u = torch.arange(w, device=x.device) + motion[:, 0]
    v = torch.arange(h, device=x.device)[:, None] + motion[:, 1]
    u, v = u.clamp(0, w - 1), v.clamp(0, h - 1)
    left, top = u.long(), v.long()  # not negative: truncation is the floor
    right, bottom = (left + 1).clamp(max=w - 1), (top + 1).clamp(max=h - 1)
    fraction_x = (u - left).to(x.dtype).reshape(-1, 1)
    fraction_y = (v - top).to(x.dtype).reshape(-1, 1)

    pixels = x.permute(0, 2, 3, 1).reshape(-1, c)  # a view of channels-last memory
    batch = torch.arange(n, device=x.device)[:, None, None] * h
    upper, lower = (batch + top) * w, (batch + bottom) * w

    def row(start: Tensor) -> Tensor:
        a = F.embedding((start + left).reshape(-1), pixels)
        b = F.embedding((start + right).reshape(-1), pixels)
        return torch.lerp(a, b, fraction_x)

    out = torch.lerp(row(upper), row(lower), fraction_y)
    return out.reshape(n, h, w, c).permute(0, 3, 1, 2)


def to_grid(motion: Tensor, stride: int) -> Tensor:
    """Bring motion (N, 2, H, W) in input pixels to the grid of a feature with this stride.

    A feature pixel moves by the mean of its ``stride x stride`` input pixels, divided by the
    stride. H and W must be multiples of the stride. Returns (N, 2, H / stride, W / stride).
    """
    return F.avg_pool2d(motion, stride) / stride
