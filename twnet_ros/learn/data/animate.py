"""Clips from labelled stills: camera and object motion applied to picture and labels alike."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from twnet_ros.learn.data.augment import recolor
from twnet_ros.learn.data.still import Stills
from twnet_ros.segment.palette import UNLABELLED
from twnet_ros.segment.picture import Picture

Matrix = NDArray[np.float64]  # (3, 3), homogeneous pixel coordinates

LEAST, GREATEST = 1 / 576, 1 / 5.76  # share of a still that an object cut from it covers


@dataclass(frozen=True)
class Cutout:
    """An object cut from a still."""

    rgb: Picture  # (h, w, 3)
    mask: Picture  # (h, w), 255 on the object
    train_id: int
    place: tuple[float, float]  # its lower middle in the still, as fractions of width and height
    width: int  # of the still


class Wander:
    """A smooth random value: its speed is an Ornstein-Uhlenbeck process, bounded."""

    def __init__(self, speed: float, limit: float, drift: float = 0.0) -> None:
        """Take the speed's standard deviation a frame, the bound and the mean first speed."""
        self.speed, self.limit = speed, limit
        self.value, self.rate = 0.0, drift

    def step(self, rng: np.random.Generator) -> float:
        """Advance by one frame and return the value, within plus or minus the limit."""
        self.rate = 0.93 * self.rate + 0.37 * self.speed * rng.normal()
        self.value += self.rate
        if abs(self.value) > self.limit:
            self.value = np.copysign(self.limit, self.value)
            self.rate = -0.5 * self.rate
        return self.value


def animate(
    stills: Stills, movers: tuple[int, ...], size: tuple[int, int], rng: np.random.Generator
) -> Iterator[tuple[Picture, Picture]]:
    """Yield frames of ``size`` (width, height) with train ids, for ever, from one random still.

    The camera pans, zooms and rolls smoothly; objects of the train ids ``movers``, cut from
    other stills, pass through the picture, and swing as a walker's limbs do. Where the still
    ends the picture is mirrored and unlabelled. Exposure drifts slowly.
    """
    rgb, labels = stills.sample(rng)
    rgb = recolor(rgb, rng)
    if rng.random() < 0.5:
        rgb, labels = np.ascontiguousarray(rgb[:, ::-1]), np.ascontiguousarray(labels[:, ::-1])
    objects = [_Mover(cut, size, rng) for cut in _cutouts(stills, movers, rng)]
    width, height = size
    base = max(width / rgb.shape[1], height / rgb.shape[0]) * rng.uniform(1.05, 1.5)
    if base < 1:  # sampled at that scale it would be aliased
        labels = _shrink(labels, base, cv2.INTER_NEAREST_EXACT)
        rgb, base = _shrink(rgb, base, cv2.INTER_AREA), 1.0
    pace = rng.choice([0.3, 1.0, 2.0])  # a calm, a normal or a hectic drive
    pan = Wander(2.0 * pace, 0.25 * width, rng.normal(0, 3 * pace))
    tilt = Wander(0.5 * pace, 0.06 * height)
    zoom = Wander(0.007 * pace, 0.35, rng.uniform(0, 0.02) * pace)
    roll = Wander(0.0012 * pace, 0.03)
    exposure = Wander(0.6, 18)
    middle = rgb.shape[1] * rng.uniform(0.4, 0.6), rgb.shape[0] * rng.uniform(0.42, 0.58)
    while True:
        camera = _camera(
            middle,
            (width / 2 + pan.step(rng), height / 2 + tilt.step(rng)),
            base * np.exp(zoom.step(rng)),
            roll.step(rng),
        )
        picture, ids = _project(rgb, labels, camera, size)
        for mover in objects:
            mover.step(rng)
            mover.draw(picture, ids)
        lit = picture.astype(np.int16) + round(exposure.step(rng))
        yield np.clip(lit, 0, 255).astype(np.uint8), ids


def _shrink(picture: Picture, scale: float, way: int) -> Picture:
    height, width = (max(1, round(scale * side)) for side in picture.shape[:2])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=way), np.uint8)


def _camera(
    middle: tuple[float, float], target: tuple[float, float], scale: float, angle: float
) -> Matrix:
    """Map the still's pixels to the frame's: ``middle`` goes to ``target``."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    x = target[0] - cos * middle[0] + sin * middle[1]
    y = target[1] - sin * middle[0] - cos * middle[1]
    return np.array([[cos, -sin, x], [sin, cos, y], [0, 0, 1]])


def _project(
    rgb: Picture, labels: Picture, camera: Matrix, size: tuple[int, int]
) -> tuple[Picture, Picture]:
    affine = camera[:2]
    picture = cv2.warpAffine(
        rgb, affine, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    ids = cv2.warpAffine(
        labels,
        affine,
        size,
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=UNLABELLED,
    )
    return np.asarray(picture, np.uint8), np.asarray(ids, np.uint8)


def _cutouts(stills: Stills, movers: tuple[int, ...], rng: np.random.Generator) -> list[Cutout]:
    """Cut up to three whole objects out of stills drawn at random."""
    found: list[Cutout] = []
    for _ in range(int(rng.integers(0, 4)) if movers else 0):
        rgb, labels = stills.sample(rng)
        wanted = movers[int(rng.integers(len(movers)))]
        mask = (labels == wanted).astype(np.uint8)
        count, parts, boxes, _ = cv2.connectedComponentsWithStats(mask)
        share = boxes[:, cv2.CC_STAT_AREA] / mask.size
        large = [i for i in range(1, count) if LEAST < share[i] < GREATEST]
        if not large:
            continue
        part = large[int(rng.integers(len(large)))]
        x, y, w, h = boxes[part, :4]
        window = np.s_[y : y + h, x : x + w]
        found.append(
            Cutout(
                recolor(np.ascontiguousarray(rgb[window]), rng),
                np.where(parts[window] == part, 255, 0).astype(np.uint8),
                wanted,
                ((x + w / 2) / labels.shape[1], (y + h) / labels.shape[0]),
                labels.shape[1],
            )
        )
    return found


class _Mover:
    """A cutout on its way through the picture."""

    def __init__(self, cut: Cutout, size: tuple[int, int], rng: np.random.Generator) -> None:
        self.cut, self.size = cut, size
        across = rng.uniform(0.05, 0.95) if rng.random() < 0.7 else cut.place[0]
        self.x, self.y = across * size[0], cut.place[1] * size[1]
        self.velocity = rng.normal(0, 4), rng.normal(0, 0.3)
        self.scale = size[0] / cut.width * rng.uniform(0.7, 1.4)
        if size[0] < cut.width and self.scale < 1:  # as the still that it is from
            mask = _shrink(cut.mask, self.scale, cv2.INTER_AREA)
            self.cut = replace(cut, rgb=_shrink(cut.rgb, self.scale, cv2.INTER_AREA), mask=mask)
            self.scale = 1.0
        self.growth = rng.normal(0.002, 0.006)
        self.phase, self.cadence = rng.uniform(0, 6.28), rng.uniform(0.3, 0.9)
        self.swing = rng.uniform(0.03, 0.2) if cut.rgb.shape[0] > cut.rgb.shape[1] else 0.0

    def step(self, rng: np.random.Generator) -> None:
        """Advance by one frame; an object that has left comes in again on the other side."""
        self.x += self.velocity[0] + rng.normal(0, 0.3)
        self.y += self.velocity[1]
        self.scale *= 1 + self.growth
        self.phase += self.cadence
        reach = self.cut.rgb.shape[1] * self.scale
        self.x = (self.x + reach) % (self.size[0] + 2 * reach) - reach
        if not 0.1 < self.scale * self.cut.rgb.shape[0] / self.size[1] < 0.9:
            self.growth = -self.growth
        if not 0.4 * self.size[1] < self.y < 1.1 * self.size[1]:
            self.velocity = self.velocity[0], -self.velocity[1]

    def draw(self, picture: Picture, ids: Picture) -> None:
        """Paint the object into a frame and its labels."""
        height, width = self.cut.mask.shape
        shear = self.swing * np.sin(self.phase)
        place = np.array(
            [
                [
                    self.scale,
                    self.scale * shear,
                    self.x - self.scale * (width / 2 + shear * height / 2),
                ],
                [0, self.scale, self.y - self.scale * height],
            ]
        )
        rgb = cv2.warpAffine(
            self.cut.rgb, place, self.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        mask = cv2.warpAffine(self.cut.mask, place, self.size, flags=cv2.INTER_LINEAR)
        x, y, width, height = cv2.boundingRect(mask)
        seen = np.s_[y : y + height, x : x + width]
        alpha = (mask[seen].astype(np.float32) / 255)[..., None]
        behind = picture[seen]
        behind[:] = np.rint(behind + alpha * (rgb[seen].astype(np.float32) - behind))
        ids[mask > 127] = self.cut.train_id
