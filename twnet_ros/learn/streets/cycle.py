"""Bicycle and motorcycle without their riders, as meshes in their own frame (see vehicle)."""

from functools import cache

from twnet_ros.learn.streets import mesh as m
from twnet_ros.learn.streets import texture
from twnet_ros.learn.streets.array import Array
from twnet_ros.learn.streets.mesh import Mesh

_WHITE = (1.0, 1.0, 1.0)
_DARK = (0.09, 0.09, 0.1)
_TYRE = (0.05, 0.05, 0.055)
_RIM = (0.5, 0.5, 0.53)


def _two_wheeler(label: int, motor: bool) -> Array:
    mesh = Mesh()
    radius, base = (0.3, 0.68) if motor else (0.34, 0.52)
    for z in (-base, base):
        mesh.plane(
            (0.0, 0.0, z - radius),
            (0.0, 0.0, 2 * radius),
            (0.0, 2 * radius, 0.0),
            label,
            _TYRE,
            shape=m.RING,
            p=(0.3 if motor else 0.8, 0.0),
        )
        mesh.stick((0.0, 0.0, z), (0.0, 2 * radius, z), 0.07 if motor else 0.028, label, _TYRE)
    if motor:
        mesh.stick(
            (0.0, 0.5, -0.5), (0.0, 0.62, 0.35), 0.17, label, _WHITE, shape=m.CAPSULE, slot=1
        )
        mesh.stick(
            (0.0, 0.36, -0.2),
            (0.0, 0.42, 0.3),
            0.2,
            label,
            (0.3, 0.3, 0.32),
            shape=m.CAPSULE,
            layer=texture.PRINT,
            contrast=0.3,
        )
        mesh.stick((0.0, 0.76, -0.7), (0.0, 0.76, -0.1), 0.1, label, _DARK, shape=m.CAPSULE)
        mesh.ball((0.0, 0.82, 0.15), 0.16, 0.13, label, _WHITE, slot=1)
        mesh.stick((0.0, 0.3, base), (0.0, 1.0, 0.42), 0.05, label, _RIM)
        mesh.stick((-0.36, 1.02, 0.4), (0.36, 1.02, 0.4), 0.03, label, _DARK)
        mesh.ball((0.0, 0.85, 0.55), 0.11, 0.11, label, (0.9, 0.9, 0.82))
        mesh.ball((0.0, 0.62, -0.82), 0.07, 0.06, label, (0.7, 0.08, 0.06))
        mesh.stick((0.1, 0.32, -0.75), (0.12, 0.32, 0.1), 0.05, label, _RIM)
    else:
        crank, saddle, head = (0.0, 0.3, -0.05), (0.0, 0.9, -0.22), (0.0, 0.82, 0.36)
        for a, b in (
            (crank, saddle),
            (crank, head),
            ((0.0, 0.76, -0.18), head),
            ((0.0, 0.34, -base), (0.0, 0.76, -0.18)),
            (crank, (0.0, 0.34, -base)),
            ((0.0, 0.34, base), (0.0, 1.0, 0.32)),
        ):
            mesh.stick(a, b, 0.026, label, _WHITE, slot=1)
        mesh.stick((-0.27, 1.0, 0.3), (0.27, 1.0, 0.3), 0.022, label, _DARK)
        mesh.stick((0.0, 0.93, -0.34), (0.0, 0.93, -0.12), 0.06, label, _DARK, shape=m.CAPSULE)
    return mesh.array()


@cache
def bicycle() -> Array:
    """A bicycle without its rider."""
    return _two_wheeler(m.L_BICYCLE, motor=False)


@cache
def motorcycle() -> Array:
    """A motorcycle without its rider."""
    return _two_wheeler(m.L_MOTORCYCLE, motor=True)
