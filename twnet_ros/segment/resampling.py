"""Decoded planes to the picture and the network's image, in one pass on the CPU."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twnet_ros.segment.band import over_bands
from twnet_ros.segment.compiled import compiled

# For each pixel of a row or column of the network's input: the first pixel of the plane that it is
# made of, (n,), and the weights of that one and those after it, (count, n).
Taps = tuple[NDArray[np.int64], NDArray[np.float32]]
Planes = tuple[NDArray[np.uint8], ...]  # luma, Cb, Cr


def taps(size: int, scaled: int, padded: int) -> Taps:
    """Return what a side of a plane is scaled by: bilinear at pixel centres, antialiased.

    ``size`` is the plane's, ``scaled`` the network picture's, which is ``padded`` by its last
    pixel. All in pixels. It is the filter of torch's antialiased bilinear ``interpolate``: a
    triangle as wide as two pixels of the coarser side.
    """
    scale = size / scaled
    reach = max(scale, 1.0) if scale != 1 else 0.5  # nothing but the pixel itself
    centre = (np.minimum(np.arange(padded), scaled - 1) + 0.5) * scale
    count = min(math.ceil(2 * reach), size)
    first = np.clip(np.floor(centre - reach + 0.5).astype(np.int64), 0, size - count)
    place = first + np.arange(count)[:, None] + 0.5
    weights = np.maximum(1 - np.abs(place - centre) / reach, 0)
    return first, (weights / weights.sum(0)).astype(np.float32)


def resample(
    planes: Planes,
    luma: tuple[Taps, Taps],
    chroma: tuple[Taps, Taps],
    affine: Tensor,
    half: bool,
) -> tuple[Tensor, Tensor]:
    """Return YCbCr levels (1, 3, H, W), float32, and what an affine map makes of them.

    ``luma`` and ``chroma`` are the taps (down, across) of these planes; ``affine`` is (3, 4), its
    last column added. Its result is in bfloat16 where ``half``, else in float32. Both are
    channels-last.
    """
    height, width = len(luma[0][0]), len(luma[1][0])
    picture = np.empty((height, width, 3), np.float32)
    bits = np.empty(picture.shape, np.int16 if half else np.int32)  # numpy has no bfloat16
    weights = affine.numpy()

    def fill(first: int, last: int) -> None:
        _fused(*planes, luma, chroma, weights, first, last, picture, bits)  # type: ignore[call-arg,arg-type]

    over_bands(height, fill)
    image = torch.from_numpy(bits).view(torch.bfloat16 if half else torch.float32)
    return torch.from_numpy(picture).permute(2, 0, 1)[None], image.permute(2, 0, 1)[None]


@compiled
def _fused(
    y: NDArray[np.uint8],
    u: NDArray[np.uint8],
    v: NDArray[np.uint8],
    luma: tuple[Taps, Taps],
    chroma: tuple[Taps, Taps],
    affine: NDArray[np.float32],
    first: int,
    last: int,
    picture: NDArray[np.float32],
    bits: NDArray[np.int16],
) -> None:
    """Fill the rows from ``first`` to ``last`` of the picture and of the image's bits."""
    width = picture.shape[1]
    levels = np.empty((3, width), np.float32)
    image = np.empty(3 * width, np.float32)
    as_bits = image.view(np.uint32)
    blend = np.empty(y.shape[1], np.float32)
    for row in range(first, last):
        _sample(y, luma, row, blend, levels[0])
        _sample(u, chroma, row, blend, levels[1])
        _sample(v, chroma, row, blend, levels[2])
        here, there = picture[row], bits[row].reshape(-1)
        for x in range(width):
            here[x, 0], here[x, 1], here[x, 2] = levels[0, x], levels[1, x], levels[2, x]
        for c in range(3):
            of_y, of_u, of_v, added = affine[c]
            for x in range(width):
                linear = of_y * levels[0, x] + of_u * levels[1, x] + of_v * levels[2, x]
                image[3 * x + c] = linear + added
        if bits.itemsize == 4:
            for i in range(3 * width):
                there[i] = as_bits[i]
        else:
            for i in range(3 * width):  # to the nearest, ties to even
                there[i] = (as_bits[i] + 0x7FFF + ((as_bits[i] >> 16) & 1)) >> 16


@compiled
def _sample(
    plane: NDArray[np.uint8],
    taps: tuple[Taps, Taps],
    row: int,
    blend: NDArray[np.float32],
    line: NDArray[np.float32],
) -> None:
    """Fill a row of the picture from a plane; ``blend`` holds a row of the plane's length."""
    (tops, down), (lefts, across) = taps
    columns = plane.shape[1]
    blend[:columns] = 0
    for k in range(len(down)):
        source, weight = plane[tops[row] + k], down[k, row]
        for x in range(columns):
            blend[x] += weight * source[x]
    if len(across) == 1:  # nothing is scaled, or there is one column
        line[:columns] = blend[:columns]
        line[columns:] = blend[columns - 1]
        return
    near, far = across[0], across[1]
    for x in range(len(line)):
        line[x] = near[x] * blend[lefts[x]] + far[x] * blend[lefts[x] + 1]
    for k in range(2, len(across)):
        weights = across[k]
        for x in range(len(line)):
            line[x] += weights[x] * blend[lefts[x] + k]
