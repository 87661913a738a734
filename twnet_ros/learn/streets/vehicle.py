"""Vehicles as meshes in their own frame: x right, y up from the road, z ahead, metres.

Slot 1 is the paint of the instance.
"""

from functools import cache
from typing import Any

from twnet_ros.learn.streets import mesh as m
from twnet_ros.learn.streets import texture
from twnet_ros.learn.streets.array import Array
from twnet_ros.learn.streets.mesh import Mesh

_WHITE = (1.0, 1.0, 1.0)
_DARK = (0.09, 0.09, 0.1)
_TYRE = (0.05, 0.05, 0.055)
_RIM = (0.5, 0.5, 0.53)
_GLASS = (0.2, 0.24, 0.28)


def _wheels(mesh: Mesh, label: int, half: float, radius: float, axles: tuple[float, ...]) -> None:
    for z in axles:
        for side in (-1.0, 1.0):
            x = side * (half + 0.01)
            for r, rgb, step in ((radius, _TYRE, 0.0), (0.62 * radius, _RIM, 0.006)):
                turn = side  # seen from outside, u runs ahead on the right side
                mesh.plane(
                    (x + side * step, radius - r, z - turn * r),
                    (0.0, 0.0, 2 * r * turn),
                    (0.0, 2 * r, 0.0),
                    label,
                    rgb,
                    shape=m.ELLIPSE,
                    layer=texture.PRINT,
                    contrast=0.12,
                    one_sided=True,
                )
            inner, outer = sorted((side * (half - 0.2), side * half))
            mesh.box(
                (inner, 0.0, z - 0.7 * radius),
                (outer, radius, z + 0.7 * radius),
                label,
                _TYRE,
                faces="fb",
            )


def _end_lights(mesh: Mesh, label: int, half: float, y: float, front: float, back: float) -> None:
    for side in (-1.0, 1.0):
        x = side * (half - 0.22)
        mesh.plane(
            (x + 0.17, y, front + 0.01),
            (-0.34, 0.0, 0.0),
            (0.0, 0.16, 0.0),
            label,
            (0.95, 0.95, 0.9),
            material=m.GLOW,
            one_sided=True,
        )
        mesh.plane(
            (x - 0.15, y + 0.05, back - 0.01),
            (0.3, 0.0, 0.0),
            (0.0, 0.18, 0.0),
            label,
            (0.75, 0.06, 0.05),
            material=m.GLOW,
            one_sided=True,
        )
    mesh.plane(
        (-0.26, y - 0.2, back - 0.012),
        (0.52, 0.0, 0.0),
        (0.0, 0.12, 0.0),
        label,
        (0.9, 0.9, 0.85),
        layer=texture.PRINT,
        contrast=0.15,
        one_sided=True,
    )
    mesh.plane(
        (0.26, y - 0.22, front + 0.012),
        (-0.52, 0.0, 0.0),
        (0.0, 0.12, 0.0),
        label,
        (0.9, 0.9, 0.85),
        layer=texture.PRINT,
        contrast=0.15,
        one_sided=True,
    )


def _car(
    length: float, width: float, height: float, belt: float, hood: float, boot: float
) -> Array:
    """hood, boot: length ahead of and behind the cabin at the belt line."""
    mesh, label = Mesh(), m.L_CAR
    half, front, back, sill = width / 2, length / 2, -length / 2, 0.24
    paint: dict[str, Any] = {"slot": 1, "layer": texture.CLOUD, "contrast": 0.05}
    mesh.box((-half, sill, back), (half, belt, front), label, _WHITE, **paint)
    mesh.box(
        (-half - 0.004, sill, back - 0.005),
        (half + 0.004, sill + 0.16, front + 0.005),
        label,
        _DARK,
        faces="lrfb",
    )
    z0, z3 = back + boot, front - hood
    z1, z2 = z0 + 0.18 + 0.25 * min(1.0, boot), z3 - 0.6
    inset = 0.14
    rise = height - belt
    for side in (-1.0, 1.0):
        start, run = (z0, z3 - z0) if side > 0 else (z3, z0 - z3)
        lead = ((z1 - z0) if side > 0 else (z3 - z2)) / (z3 - z0)
        trail = ((z3 - z2) if side > 0 else (z1 - z0)) / (z3 - z0)
        o, u = (side * half, belt, start), (0.0, 0.0, run)
        v = (-side * inset, rise, 0.0)
        shape: dict[str, Any] = {"shape": m.TAPER, "p": (lead, trail), "one_sided": True}
        mesh.plane(o, u, v, label, _WHITE, slot=1, **shape)
        # Two side windows, a little proud of the frame.
        for a, b in ((0.12, 0.49), (0.53, 0.9)):
            oo = (
                side * half - side * inset * 0.1 + side * 0.006,
                belt + 0.1 * rise,
                start + a * run,
            )
            mesh.plane(
                oo,
                (0.0, 0.0, (b - a) * run),
                tuple(0.76 * k for k in v),
                label,
                _GLASS,
                shape=m.TAPER,
                p=(1.7 * lead if a < 0.2 else 0.0, 1.7 * trail if a > 0.2 else 0.0),
                material=m.GLASS,
                one_sided=True,
            )
        for zc in (start + 0.51 * run,):
            mesh.plane(
                (side * (half + 0.004), sill + 0.1, zc - 0.008),
                (0.0, 0.0, 0.016),
                (0.0, belt - sill - 0.1, 0.0),
                label,
                _DARK,
            )
        mesh.ball(
            (side * (half + 0.08), belt + 0.06, z3 - 0.35), 0.09, 0.07, label, _WHITE, slot=1
        )
    top = inset / width
    for z_low, z_high, sign in ((z0, z1, 1.0), (z3, z2, -1.0)):
        o, u = (-sign * half, belt, z_low), (sign * width, 0.0, 0.0)
        v = (0.0, rise, z_high - z_low)
        mesh.plane(o, u, v, label, _WHITE, shape=m.TAPER, p=(top, top), slot=1, one_sided=True)
        oo = (
            o[0] + sign * 0.07 * width,
            belt + 0.08 * rise,
            z_low + 0.08 * (z_high - z_low) - sign * 0.008,
        )
        mesh.plane(
            oo,
            (0.86 * u[0], 0.0, 0.0),
            tuple(0.82 * k for k in v),
            label,
            _GLASS,
            shape=m.TAPER,
            p=(top, top),
            material=m.GLASS,
            one_sided=True,
        )
    mesh.box(
        (-half + inset, height - 0.02, z1),
        (half - inset, height, z2),
        label,
        _WHITE,
        faces="tfb",
        **paint,
    )
    mesh.plane(
        (0.5 * half, 0.45, front + 0.008),
        (-half, 0.0, 0.0),
        (0.0, 0.2, 0.0),
        label,
        _DARK,
        layer=texture.PANEL,
        contrast=0.3,
        one_sided=True,
    )
    _wheels(mesh, label, half, 0.32, (back + 0.19 * length, front - 0.19 * length))
    _end_lights(mesh, label, half, 0.66, front, back)
    return mesh.array()


def _windows(
    mesh: Mesh, label: int, half: float, y: float, rise: float, z0: float, z1: float, count: int
) -> None:
    """A row of panes on both sides."""
    step = (z1 - z0) / count
    for side in (-1.0, 1.0):
        for k in range(count):
            a = z0 + (k + 0.06) * step
            start, run = (a, 0.88 * step) if side > 0 else (a + 0.88 * step, -0.88 * step)
            mesh.plane(
                (side * (half + 0.01), y, start),
                (0.0, 0.0, run),
                (0.0, rise, 0.0),
                label,
                _GLASS,
                material=m.GLASS,
                one_sided=True,
            )


def _van(length: float, width: float, height: float, cargo: bool) -> Array:
    """Truck: a cab with a box body behind it (``cargo``), or an open bed with a load."""
    mesh, label = Mesh(), m.L_TRUCK
    half, front, back = width / 2, length / 2, -length / 2
    cab = front - 2.0
    mesh.box(
        (-half, 0.5, cab),
        (half, min(height, 2.7), front),
        label,
        _WHITE,
        slot=1,
        layer=texture.CLOUD,
        contrast=0.05,
    )
    mesh.plane(
        (half - 0.12, 1.45, front + 0.01),
        (-width + 0.24, 0.0, 0.0),
        (0.0, 0.85, 0.0),
        label,
        _GLASS,
        material=m.GLASS,
        one_sided=True,
    )
    mesh.plane(
        (half - 0.3, 0.75, front + 0.01),
        (-width + 0.6, 0.0, 0.0),
        (0.0, 0.4, 0.0),
        label,
        _DARK,
        layer=texture.PANEL,
        contrast=0.3,
        one_sided=True,
    )
    _windows(mesh, label, half, 1.5, 0.75, cab + 0.6, front - 0.15, 1)
    mesh.box((-half + 0.1, 0.5, back), (half - 0.1, 0.85, cab), label, _DARK)
    if cargo:
        mesh.box(
            (-half, 0.85, back),
            (half, height, cab - 0.15),
            label,
            (0.8, 0.8, 0.8),
            slot=2,
            layer=texture.PANEL,
            contrast=0.1,
        )
        for side in (-1.0, 1.0):
            z, run = (
                (back + 0.8, 0.6 * (cab - back)) if side > 0 else (cab - 1.0, -0.6 * (cab - back))
            )
            mesh.plane(
                (side * (half + 0.01), 1.5, z),
                (0.0, 0.0, run),
                (0.0, 1.0, 0.0),
                label,
                _WHITE,
                slot=1,
                layer=texture.PRINT,
                contrast=0.25,
                one_sided=True,
            )
        mesh.plane(
            (-0.01, 0.9, back - 0.01), (0.03, 0.0, 0.0), (0.0, height - 1.0, 0.0), label, _DARK
        )
    else:
        mesh.box(
            (-half, 0.85, back),
            (half, 1.5, cab - 0.2),
            label,
            _WHITE,
            slot=1,
            layer=texture.PLANK,
            contrast=0.15,
        )
        mesh.box(
            (-half + 0.2, 1.5, back + 0.4),
            (half - 0.2, height - 0.4, cab - 1.0),
            label,
            (0.5, 0.42, 0.3),
            layer=texture.STONE,
            contrast=0.3,
        )
    _wheels(mesh, label, half, 0.48, (back + 1.1, back + 2.2, front - 1.0))
    _end_lights(mesh, label, half, 0.62, front, back)
    return mesh.array()


def _coach(label: int, length: float, width: float, height: float) -> Array:
    """Bus or tram: long box with bands of windows."""
    mesh = Mesh()
    tram = label == m.L_TRAIN
    half, front, back = width / 2, length / 2, -length / 2
    mesh.box(
        (-half, 0.3, back),
        (half, height, front),
        label,
        _WHITE,
        slot=1,
        layer=texture.CLOUD,
        contrast=0.06,
    )
    mesh.box(
        (-half - 0.006, 0.3, back - 0.006),
        (half + 0.006, 0.75, front + 0.006),
        label,
        _WHITE,
        slot=2,
        faces="lrfb",
    )
    _windows(mesh, label, half, 1.35, 1.15, back + 0.4, front - 0.3, max(4, int(length / 1.6)))
    for z, sign in ((front + 0.01, -1.0), (back - 0.01, 1.0)):
        mesh.plane(
            (-sign * (half - 0.15), 1.2, z),
            (sign * (width - 0.3), 0.0, 0.0),
            (0.0, 1.35, 0.0),
            label,
            _GLASS,
            material=m.GLASS,
            one_sided=True,
        )
        mesh.plane(
            (-sign * 0.7, 2.65, z),
            (sign * 1.4, 0.0, 0.0),
            (0.0, 0.28, 0.0),
            label,
            (0.9, 0.6, 0.1),
            material=m.GLOW,
            layer=texture.PRINT,
            contrast=0.35,
            one_sided=True,
        )
    if tram:
        for z in (back + 3.5, 0.0, front - 3.5):
            mesh.box((-half + 0.3, 0.0, z - 1.2), (half - 0.3, 0.3, z + 1.2), label, _DARK)
        for z in (back + length / 3, back + 2 * length / 3):
            mesh.box(
                (-half - 0.01, 0.3, z - 0.35),
                (half + 0.01, height + 0.01, z + 0.35),
                label,
                (0.22, 0.22, 0.23),
                layer=texture.PANEL,
                contrast=0.25,
            )
        mesh.stick((0.0, height, -1.0), (0.0, height + 0.9, 0.3), 0.04, label, _DARK)
        mesh.stick((0.0, height + 0.9, 0.3), (0.0, height + 1.7, -0.8), 0.04, label, _DARK)
    else:
        _wheels(mesh, label, half, 0.48, (back + 2.6, front - 2.7))
    _end_lights(mesh, label, half, 0.75, front, back)
    return mesh.array()


@cache
def cars() -> tuple[Array, ...]:
    """Hatchback, saloon, estate, off-roader, van."""
    return (
        _car(3.9, 1.72, 1.47, 0.92, 0.85, 0.05),
        _car(4.6, 1.8, 1.43, 0.93, 1.15, 0.75),
        _car(4.65, 1.8, 1.5, 0.95, 1.15, 0.03),
        _car(4.5, 1.86, 1.7, 1.05, 1.0, 0.04),
        _car(5.0, 1.95, 2.0, 1.1, 0.65, 0.0),
    )


@cache
def trucks() -> tuple[Array, ...]:
    """Box truck, long box truck, open truck."""
    return _van(6.8, 2.3, 3.1, True), _van(8.6, 2.45, 3.6, True), _van(7.2, 2.35, 2.7, False)


@cache
def bus() -> Array:
    """A city bus of 11.5 m."""
    return _coach(m.L_BUS, 11.5, 2.5, 3.1)


@cache
def tram() -> Array:
    """A tram of 24 m, class train."""
    return _coach(m.L_TRAIN, 24.0, 2.4, 3.4)
