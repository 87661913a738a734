"""Tileable grey textures with their mip levels; they modulate a surface's own colour."""

from functools import cache

import cv2
import numpy as np

from twnet_ros.learn.streets.array import Array

SIZE = 256  # texels, one tile
TEXELS_PER_M = 64.0  # so one tile spans 4 m
LEVELS = 8  # 256 ... 2 texels

(ASPHALT, CLOUD, BRICK, SLAB, FOLIAGE, GRASS, PLASTER, PLANK, PANEL, CLOTH, FLAT, STONE, PRINT) = (
    range(13)
)
LEVEL_OFFSETS = np.array(
    [sum((SIZE >> k) ** 2 for k in range(level)) for level in range(LEVELS)], np.int64
)
LAYER_TEXELS = sum((SIZE >> k) ** 2 for k in range(LEVELS))


def fractal_noise(rng: np.random.Generator, slope: float, stretch: float = 1.0) -> Array:
    """Periodic noise with power falling as frequency**-slope; zero mean, unit deviation."""
    fy = np.fft.fftfreq(SIZE)[:, None] * stretch
    fx = np.fft.rfftfreq(SIZE)[None, :]
    radius = np.hypot(fx, fy)
    radius[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((SIZE, SIZE))) * radius ** (-slope)
    field = np.fft.irfft2(spectrum, s=(SIZE, SIZE))
    normal: Array = (field - field.mean()) / field.std()
    return normal


def _courses(rng: np.random.Generator, rows: int, columns: int, joint: int) -> Array:
    """Blocks in staggered courses, each with its own tone; dark joints."""
    tile = np.full((SIZE, SIZE), -1.6)
    height, width = SIZE // rows, SIZE // columns
    for row in range(rows):
        shift = (row % 2) * (width // 2)
        for column in range(columns):
            x = (np.arange(width - joint) + column * width + shift) % SIZE
            y = np.arange(row * height, (row + 1) * height - joint)
            tile[np.ix_(y, x)] = 0.55 * rng.standard_normal()
    return tile + 0.35 * fractal_noise(rng, 0.6)


def _print(rng: np.random.Generator) -> Array:
    """Lettering-like bars and patches, for shop fronts, signs and adverts."""
    tile = np.zeros((SIZE, SIZE), np.float64)
    for _ in range(90):
        x, y = rng.integers(0, SIZE, 2)
        w, h = rng.integers(6, 40), rng.integers(4, 18)
        tile[y : y + h, x : x + w] = rng.choice([-2.2, -1.2, 1.2, 2.2])
    return tile


def _layers() -> list[Array]:
    rng = np.random.default_rng(20)
    ribs = np.sin(np.arange(SIZE) * (2 * np.pi * 16 / SIZE))[None, :]
    planks = np.repeat(rng.standard_normal(16), SIZE // 16)[None, :] + np.where(
        np.arange(SIZE) % 16 < 1, -2.0, 0.0
    )
    check = np.sign(np.sin(np.arange(SIZE) * (2 * np.pi * 24 / SIZE)))
    foliage = fractal_noise(rng, 1.0)
    return [
        0.8 * fractal_noise(rng, 0.35) + 0.6 * fractal_noise(rng, 1.2),
        fractal_noise(rng, 1.9),
        _courses(rng, 32, 12, 2),
        _courses(rng, 8, 8, 2),
        np.clip(1.7 * foliage, -2.2, 2.0) + 0.4 * fractal_noise(rng, 0.2),
        0.9 * fractal_noise(rng, 0.5, 0.4) + 0.6 * fractal_noise(rng, 1.4),
        0.5 * fractal_noise(rng, 0.4) + 0.8 * fractal_noise(rng, 1.5),
        planks + 0.5 * fractal_noise(rng, 0.9, 0.1),
        1.1 * ribs + 0.4 * fractal_noise(rng, 1.3),
        check[None, :] * 0.7 + check[:, None] * 0.7 + 0.3 * fractal_noise(rng, 0.5),
        np.zeros((SIZE, SIZE)),
        _courses(rng, 12, 7, 3),
        _print(rng),
    ]


@cache
def texture_stack() -> Array:
    """All layers and levels in one flat uint8 array; 128 is neutral, 43 steps a deviation.

    Texel (x, y) of a level lies at ``layer * LAYER_TEXELS + LEVEL_OFFSETS[level] + y * size + x``.
    """
    flat = []
    for layer in _layers():
        level: Array = np.clip(128 + 43 * layer, 0, 255).astype(np.float32)
        for index in range(LEVELS):
            flat.append(np.rint(level).astype(np.uint8).ravel())
            if index + 1 < LEVELS:
                size = level.shape[0] // 2
                level = cv2.resize(level, (size, size), interpolation=cv2.INTER_AREA)
    return np.concatenate(flat)
