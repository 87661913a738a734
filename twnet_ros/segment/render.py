"""Pictures of what the engine sees and says, for people."""

import cv2
import numpy as np
from numpy.typing import NDArray

from twnet_ros.codec import BlockMotion, CodedFrame, spread_blocks
from twnet_ros.segment.color import ycc_to_rgb
from twnet_ros.segment.picture import Picture

LONGEST_PX = 24.0  # of motion, from where on its colour is the same
RESIDUAL_GAIN = 4.0


def to_rgb(frame: CodedFrame) -> Picture:
    """Return the decoded picture as RGB (H, W, 3)."""
    size = (frame.width, frame.height)
    u, v = (
        cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in (frame.u, frame.v)
    )
    affine = ycc_to_rgb(frame.color_matrix, frame.full_range)
    rgb = cv2.transform(cv2.merge([frame.y, u, v]), affine)  # rounds and saturates
    return np.asarray(rgb, np.uint8)


def render_labels(labels: NDArray[np.uint8], colors: NDArray[np.uint8]) -> Picture:
    """Return train ids (H, W) in their colours (C, 3); other ids are black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(colors)] = colors
    return table[labels]


def render_overlay(
    rgb: Picture, labels: NDArray[np.uint8], colors: NDArray[np.uint8], alpha: float = 0.5
) -> Picture:
    """Return the picture with the labels' colours over it, ``alpha`` of them."""
    painted = render_labels(labels, colors)
    return np.asarray(cv2.addWeighted(rgb, 1 - alpha, painted, alpha, 0), np.uint8)


def crop_even(picture: Picture) -> Picture:
    """Return the picture without the last row and column of odd sides, as 4:2:0 video needs."""
    height, width = picture.shape[:2]
    return picture[: height // 2 * 2, : width // 2 * 2]


def color_motion(displacement: NDArray[np.float32]) -> Picture:
    """Return displacements (h, w, 2), (dx, dy) px, as colour: hue is direction, saturation length.

    Those of ``LONGEST_PX`` and more are fully saturated; no motion is white.
    """
    dx, dy = displacement[..., 0], displacement[..., 1]
    hue = np.degrees(np.arctan2(dy, dx)) % 360 / 2
    length = np.minimum(np.hypot(dx, dy) / LONGEST_PX, 1)
    hsv = np.stack([hue, 255 * length, np.full_like(dx, 255)], -1).astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def render_motion(motion: BlockMotion, height: int, width: int) -> Picture:
    """Return the motion as ``color_motion`` does, (H, W, 3); blocks without a vector are black."""
    blocks = color_motion(motion.displacement) * motion.coded[..., None]
    return spread_blocks(blocks, height, width)


def render_residual(residual: NDArray[np.float32]) -> Picture:
    """Return a residual (H, W, 3), YCbCr levels, as its luma around grey, amplified."""
    grey = np.clip(128 + RESIDUAL_GAIN * residual[..., 0], 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)
