"""A block under construction: its dice, its frame on the street, and what lies on it."""

from typing import Any

import numpy as np

from twnet_ros.learn.streets import mesh as m
from twnet_ros.learn.streets.array import Array
from twnet_ros.learn.streets.mesh import Mesh
from twnet_ros.learn.streets.raster import place
from twnet_ros.learn.streets.style import BLOCK_M, Style

ZEBRA = 14.0  # in a junction's block: where the crossing starts, the cross street, its end
CROSS = 18.5
CROSS_END = 29.5
ZEBRA_END = 34.0
KERB_M = 0.13
WIDE_M = 90.0  # how far the ground reaches to either side
_PAINTS = (
    (0.85, 0.85, 0.87),
    (0.08, 0.08, 0.09),
    (0.45, 0.46, 0.48),
    (0.6, 0.07, 0.07),
    (0.1, 0.18, 0.42),
    (0.3, 0.33, 0.36),
    (0.7, 0.68, 0.6),
    (0.12, 0.3, 0.2),
)


def pick_paint(rng: np.random.Generator) -> Array:
    """Colour of a car: mostly common ones."""
    if rng.random() < 0.2:
        return rng.uniform(0.05, 0.9, 3)
    return np.array(_PAINTS[rng.integers(len(_PAINTS))])


class Site:
    """Collects rows for one block; positions are (s, t): m into the block, m right of its axis."""

    def __init__(self, style: Style, seed: int, number: int) -> None:
        self.style = style
        self.rng = np.random.default_rng((seed, 2, number))
        self.start = number * BLOCK_M
        self.mesh, self.shade = Mesh(), Mesh()
        self.placed: list[Array] = []
        # How far a shadow falls in x and z per metre of height.
        self.throw = -style.sun[[0, 2]] / max(0.2, style.sun[1])

    def at(self, s: float, t: float, y: float = 0.0) -> tuple[float, float, float]:
        """World position; ``s`` m into the block, ``t`` m to the right of the centre line."""
        curve, far = self.style.curve, self.start + s
        return curve.x(far) + t, curve.y(far) + y, far

    def sheet(
        self,
        s0: float,
        s1: float,
        t0: float,
        t1: float,
        y: float,
        label: int,
        rgb: Array,
        layer: int,
        contrast: float,
        material: int = m.PLAIN,
    ) -> None:
        """A piece of ground; texture coordinates are (s, t)."""
        o, e = self.at(s0, t0, y), self.at(s1, t0, y)
        along = (e[0] - o[0], e[1] - o[1], s1 - s0)
        tex = ((self.start + s0) % 4800.0, t0, s1 - s0, t1 - t0)
        self.mesh.plane(
            o,
            along,
            (t1 - t0, 0.0, 0.0),
            label,
            rgb,
            layer=layer,
            contrast=contrast,
            material=material,
            tex=tex,
        )

    def front(
        self,
        side: float,
        s: float,
        e: float,
        t: float,
        y0: float,
        y1: float,
        label: int,
        rgb: Array,
        **how: Any,
    ) -> None:
        """An upright plane along the street, u from left to right as seen from the road."""
        a, b = (s, e) if side < 0 else (e, s)
        o, far = self.at(a, side * t, y0), self.at(b, side * t, y0)
        u = tuple(q - p for p, q in zip(o, far, strict=True))
        if "tex" not in how:
            how["tex"] = ((self.start + s) % 4800.0, y0, e - s, y1 - y0)
        self.mesh.plane(o, u, (0.0, y1 - y0, 0.0), label, rgb, **how)

    def cast(self, s: float, e: float, t: float, height: float) -> None:
        """The shadow of an upright face, as the parallelogram it throws on the ground."""
        reach = min(1.0, 30.0 / max(1e-6, height * float(np.hypot(*self.throw))))
        o, far = self.at(s, t, 0.05), self.at(e, t, 0.05)
        along = (far[0] - o[0], far[1] - o[1], e - s)
        throw = self.throw * height * reach
        slope = (far[1] - o[1]) / (e - s)
        self.shade.plane(o, along, (throw[0], slope * throw[1], throw[1]), 0, (0.0, 0.0, 0.0))

    def blot(self, x: float, y: float, z: float, height: float, radius: float) -> None:
        """A round shadow thrown from a height."""
        dx, dz = self.throw * min(height, 6.0)
        self.shade.plane(
            (x + dx - radius, y + 0.05, z + dz - radius),
            (2 * radius, 0.0, 0.0),
            (0.0, 0.0, 2 * radius),
            0,
            (0.0, 0.0, 0.0),
            shape=m.BLOB,
            p=(self.rng.random(), 0.0),
        )

    def stand(
        self,
        rows: Array,
        s: float,
        t: float,
        turn: float = 0.0,
        lift: float = 0.0,
        shadow: float = 0.0,
    ) -> None:
        """Put a vehicle down."""
        x, y, z = self.at(s, t, lift)
        out = np.empty_like(rows)
        yaw = self.style.curve.heading(z) + turn
        paint, second = pick_paint(self.rng), self.rng.uniform(0.4, 1.0, 3)
        place(rows, out, 0, x, y, z, yaw, paint, second)
        self.placed.append(out)
        if shadow > 0:
            self.shade.plane(
                (x - 1.05, y + 0.03, z - shadow / 2),
                (2.1, 0.0, 0.0),
                (0.0, 0.0, shadow),
                0,
                (0.0, 0.0, 0.0),
            )
