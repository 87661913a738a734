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


def warp_cubic(x: Tensor, motion: Tensor) -> Tensor:
    """Sample as ``warp`` does, but by Catmull-Rom's cubic: for what is warped again and again.

    A bilinear sample between pixels is their mean, so a feature that is carried along frame after
    frame grows ever smoother; the cubic keeps it sharp and, as no frequency grows, bounded.
    """
    n, c, h, w = x.shape
    motion = motion.float()
    columns, across = _taps(torch.arange(w, device=x.device) + motion[:, 0], w)
    rows, down = _taps(torch.arange(h, device=x.device)[:, None] + motion[:, 1], h)
    picture = torch.arange(n, device=x.device).reshape(n, 1, 1, 1, 1) * h
    sources = (picture + rows[..., :, None]) * w + columns[..., None, :]  # (N, H, W, 4, 4)
    weights = down[..., :, None] * across[..., None, :]
    # Weights in bfloat16 sum to 0.996 at some places between pixels and to 1.003 at others, which
    # adds up over frames that move alike.
    exact = torch.promote_types(x.dtype, torch.float32)
    out = F.embedding_bag(
        sources.reshape(-1, 16),
        x.permute(0, 2, 3, 1).reshape(-1, c).to(exact),  # of channels-last memory
        mode="sum",
        per_sample_weights=weights.reshape(-1, 16).to(exact),
    )
    return out.to(x.dtype).reshape(n, h, w, c).permute(0, 3, 1, 2)


def _taps(position: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the four pixels about each position (…) of a side, and their weights, both (…, 4)."""
    position = position.clamp(0, size - 1)
    first = position.floor()
    t = position - first
    cubic = (
        t * (t * (2 - t) - 1),
        t * t * (3 * t - 5) + 2,
        t * (t * (4 - 3 * t) + 1),
        t * t * (t - 1),
    )
    near = first.long()[..., None] + torch.arange(-1, 3, device=position.device)
    return near.clamp(0, size - 1), torch.stack(cubic, -1) / 2


def to_grid(motion: Tensor, stride: int) -> Tensor:
    """Bring motion (N, 2, H, W) in input pixels to the grid of a feature with this stride.

    A feature pixel moves by the mean of its ``stride x stride`` input pixels, divided by the
    stride. H and W must be multiples of the stride. Returns (N, 2, H / stride, W / stride).
    """
    return F.avg_pool2d(motion, stride) / stride
