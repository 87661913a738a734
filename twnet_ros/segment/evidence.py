"""Motion and residual of every pixel, for those who want to see them."""

import numpy as np
from torch import Tensor

from twnet_ros.segment.compensation import Field, compensate_pixels
from twnet_ros.segment.input import Geometry
from twnet_ros.segment.segmentation import Evidence
from twnet_ros.segment.transfer import download


def gather(
    geometry: Geometry,
    current: Tensor,
    previous: Tensor,
    field: Field,
    future: Tensor | None = None,
) -> Evidence:
    """Return what ``compensate`` averages over the context's pixels, without the padding."""
    motion, residual = compensate_pixels(current, previous, field, future)
    return Evidence(*download(_crop(motion, geometry), _crop(residual, geometry)))


def nothing(geometry: Geometry) -> Evidence:
    """Return the evidence of a frame that was predicted from none."""
    width, height = geometry.net
    return Evidence(
        np.zeros((height, width, 2), np.float32), np.zeros((height, width, 3), np.float32)
    )


def _crop(dense: Tensor, geometry: Geometry) -> Tensor:
    width, height = geometry.net
    return dense[0, :, :height, :width].permute(1, 2, 0).contiguous()
