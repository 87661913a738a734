"""B-frames: predicted from the anchors before and after them, and never predicted from."""

import torch
import torch.nn.functional as F
from torch import Tensor

from twnet_ros.net import to_grid, warp_cubic


def two_sided_context(
    past: Tensor, future: Tensor, motion: Tensor, ahead: Tensor, stride: int
) -> Tensor:
    """Warp the contexts of both anchors to a B-frame and blend them as its blocks do.

    ``past`` and ``future`` are (1, C, h, w); ``motion`` is (1, 2, H, W) in input pixels and
    ``ahead`` (1, 1, H, W) 1 where it points to the future anchor, else 0. A feature pixel follows
    each anchor by the mean motion of those of its ``stride x stride`` pixels that point there, and
    takes from it as large a part as they have. Returns (1, C, h, w).
    """
    share = F.avg_pool2d(ahead, stride)

    def along(context: Tensor, chosen: Tensor, part: Tensor) -> Tensor:
        mean = to_grid(motion * chosen, stride) / part.clamp(min=1 / stride**2)
        return warp_cubic(context, mean)

    before, after = along(past, 1 - ahead, 1 - share), along(future, ahead, share)
    return torch.lerp(before, after, share.to(before.dtype))
