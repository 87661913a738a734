"""Random changes to a labelled picture that leave it a plausible one."""

import cv2
import numpy as np

from twnet_ros.segment.palette import UNLABELLED
from twnet_ros.segment.picture import Picture

SCALE = (0.7, 1.6)  # least and greatest factor of the random scaling


def augment(
    rgb: Picture,
    labels: Picture,
    size: tuple[int, int],
    rng: np.random.Generator,
    scale: tuple[float, float] = SCALE,
) -> tuple[Picture, Picture]:
    """Scale, crop to ``size`` (width, height), mirror, recolour and compress at random.

    ``scale`` bounds the random factor. Where the scaled picture is smaller than the crop the rest
    is grey and unlabelled.
    """
    rgb, labels = _crop(rgb, labels, size, rng, scale)
    if rng.random() < 0.5:
        rgb, labels = np.ascontiguousarray(rgb[:, ::-1]), np.ascontiguousarray(labels[:, ::-1])
    rgb = recolor(rgb, rng)
    if rng.random() < 0.6:
        rgb = compress(rgb, int(rng.integers(8, 70)))
    return rgb, labels


def _crop(
    rgb: Picture,
    labels: Picture,
    size: tuple[int, int],
    rng: np.random.Generator,
    scale: tuple[float, float],
) -> tuple[Picture, Picture]:
    width, height = size
    factor = np.exp(rng.uniform(np.log(scale[0]), np.log(scale[1])))
    full_h, full_w = labels.shape
    # The crop's footprint in the source: only that part is scaled.
    part_w, part_h = (
        min(round(side / factor), full) for side, full in zip(size, (full_w, full_h), strict=True)
    )
    x, y = rng.integers(full_w - part_w + 1), rng.integers(full_h - part_h + 1)
    target = min(round(part_w * factor), width), min(round(part_h * factor), height)
    window = np.s_[y : y + part_h, x : x + part_w]
    shrink = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    picture = np.full((height, width, 3), 114, np.uint8)
    ids = np.full((height, width), UNLABELLED, np.uint8)
    left, top = (rng.integers(side - part + 1) for side, part in zip(size, target, strict=True))
    place = np.s_[top : top + target[1], left : left + target[0]]
    picture[place] = cv2.resize(rgb[window], target, interpolation=shrink)
    # Plain INTER_NEAREST is not centred: it would shift the labels against the picture.
    ids[place] = cv2.resize(labels[window], target, interpolation=cv2.INTER_NEAREST_EXACT)
    return picture, ids


def recolor(rgb: Picture, rng: np.random.Generator) -> Picture:
    """Change brightness, contrast, gamma, white balance and saturation of an RGB picture."""
    levels = np.arange(256, dtype=np.float32) / 255
    gain = rng.uniform(0.7, 1.35) * rng.uniform(0.93, 1.07, (3, 1))
    curve = (levels ** np.exp(rng.uniform(-0.35, 0.35)) - 0.5) * gain + 0.5
    curve = np.clip((curve + rng.uniform(-0.12, 0.12)) * 255, 0, 255).astype(np.uint8)
    out = cv2.LUT(rgb, np.ascontiguousarray(curve.T)[None])
    grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    saturation = rng.uniform(0.5, 1.5)
    return np.asarray(cv2.addWeighted(out, saturation, grey, 1 - saturation, 0), np.uint8)


def compress(rgb: Picture, quality: int) -> Picture:
    """Return the picture after JPEG at ``quality`` (1 to 100), a stand-in for intra coding."""
    _, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])
