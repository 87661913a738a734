"""Surfaces as rows of numbers: planes, sticks and balls, which every object is made of.

World coordinates in metres: x to the right, y up, z along the street. A plane is the
parallelogram ``O + u U + v V`` with u, v in 0..1; a stick is a cylinder seen as the plane through
its axis that faces the camera; a ball faces the camera too.
"""

from collections.abc import Sequence

import numpy as np

from twnet_ros.learn.streets import texture
from twnet_ros.learn.streets.array import Array

# Columns of a row.
KIND = 0
A = 1  # plane: O; stick: lower end; ball: centre
B = 4  # plane: U; stick: upper end; ball: (half width, half height, -)
C = 7  # plane: V; stick: (radius, -, -)
SHAPE = 10
P0 = 11  # the shape's parameters
P1 = 12
LABEL = 13
MATERIAL = 14
TEX = 15  # texture coordinates in metres: u0, v0, width, height
RGB = 19  # 0..1 in full light
LAYER = 22
CONTRAST = 23
ONE_SIDED = 24
SLOT = 25  # 1: multiplied by the instance's paint, 2: by its second paint
E0 = 26  # the material's parameters
E1 = 27
COLUMNS = 28

PLANE, STICK, BALL = range(3)
# Shapes: which (u, v) of the parallelogram belong to the surface.
FULL, ELLIPSE, BLOB, TAPER, BARS, RING, CAPSULE = range(7)
# Materials: how it is coloured.
PLAIN, ROAD, ZEBRA, FACADE, ROUND, GLOW, GLASS, LEAF = range(8)

Vec = Sequence[float] | Array

(
    L_ROAD,
    L_SIDEWALK,
    L_BUILDING,
    L_WALL,
    L_FENCE,
    L_POLE,
    L_LIGHT,
    L_SIGN,
    L_VEGETATION,
    L_TERRAIN,
    L_SKY,
    L_PERSON,
    L_RIDER,
    L_CAR,
    L_TRUCK,
    L_BUS,
    L_TRAIN,
    L_MOTORCYCLE,
    L_BICYCLE,
) = range(19)


class Mesh:
    """A growing list of rows."""

    def __init__(self) -> None:
        self._rows: list[list[float]] = []

    def array(self) -> Array:
        """(n, COLUMNS) float64."""
        return np.array(self._rows, np.float64).reshape(-1, COLUMNS)

    def plane(
        self,
        o: Vec,
        u: Vec,
        v: Vec,
        label: int,
        rgb: Vec,
        *,
        shape: int = FULL,
        p: tuple[float, float] = (0.0, 0.0),
        material: int = PLAIN,
        layer: int = texture.FLAT,
        contrast: float = 0.0,
        tex: Vec | None = None,
        one_sided: bool = False,
        slot: int = 0,
        extra: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """One-sided planes are seen from where u runs to the right and v up."""
        if tex is None:
            tex = (
                (o[0] + 0.7 * o[2]) % 64.0,
                o[1],
                (u[0] ** 2 + u[1] ** 2 + u[2] ** 2) ** 0.5,
                (v[0] ** 2 + v[1] ** 2 + v[2] ** 2) ** 0.5,
            )
        self._rows.append(
            [
                PLANE,
                *o,
                *u,
                *v,
                shape,
                *p,
                label,
                material,
                *tex,
                *rgb,
                layer,
                contrast,
                float(one_sided),
                slot,
                *extra,
            ]
        )

    def stick(
        self,
        lower: Vec,
        upper: Vec,
        radius: float,
        label: int,
        rgb: Vec,
        *,
        shape: int = FULL,
        taper: float = 0.0,
        layer: int = texture.FLAT,
        contrast: float = 0.0,
        slot: int = 0,
    ) -> None:
        """``taper``: how much of the radius is gone at the upper end, 0..1."""
        length = sum((b - a) ** 2 for a, b in zip(lower, upper, strict=True)) ** 0.5
        p0, p1 = (length / (2 * radius), taper) if shape == CAPSULE else (taper / 2, taper / 2)
        self._rows.append(
            [
                STICK,
                *lower,
                *upper,
                radius,
                0.0,
                0.0,
                shape if shape == CAPSULE else TAPER,
                p0,
                p1,
                label,
                ROUND,
                0.0,
                lower[1],
                2 * radius,
                length,
                *rgb,
                layer,
                contrast,
                0.0,
                slot,
                0.0,
                0.0,
            ]
        )

    def ball(
        self,
        centre: Vec,
        width: float,
        height: float,
        label: int,
        rgb: Vec,
        *,
        shape: int = ELLIPSE,
        noise: float = 0.0,
        material: int = ROUND,
        layer: int = texture.FLAT,
        contrast: float = 0.0,
        slot: int = 0,
    ) -> None:
        """An ellipse or blob of half width and half height that faces the camera."""
        self._rows.append(
            [
                BALL,
                *centre,
                width,
                height,
                0.0,
                0.0,
                0.0,
                0.0,
                shape,
                noise,
                0.0,
                label,
                material,
                noise,
                noise * 1.7,
                2 * width,
                2 * height,
                *rgb,
                layer,
                contrast,
                0.0,
                slot,
                0.0,
                0.0,
            ]
        )

    def box(
        self,
        low: Vec,
        high: Vec,
        label: int,
        rgb: Vec,
        *,
        layer: int = texture.FLAT,
        contrast: float = 0.0,
        slot: int = 0,
        faces: str = "lrfbt",
    ) -> None:
        """Axis-parallel box; faces: left, right, front (+z), back (-z), top."""
        x0, y0, z0 = low
        x1, y1, z1 = high
        w, h, d = x1 - x0, y1 - y0, z1 - z0
        sides = {
            "l": ((x0, y0, z1), (0.0, 0.0, -d), (0.0, h, 0.0)),
            "r": ((x1, y0, z0), (0.0, 0.0, d), (0.0, h, 0.0)),
            "f": ((x1, y0, z1), (-w, 0.0, 0.0), (0.0, h, 0.0)),
            "b": ((x0, y0, z0), (w, 0.0, 0.0), (0.0, h, 0.0)),
            "t": ((x0, y1, z0), (w, 0.0, 0.0), (0.0, 0.0, d)),
        }
        for face in faces:
            o, u, v = sides[face]
            self.plane(
                o,
                u,
                v,
                label,
                rgb,
                layer=layer,
                contrast=contrast,
                slot=slot,
                one_sided=True,
            )
