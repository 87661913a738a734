"""Things that stand about: trees, lamps, signs, signals, people who wait."""

import math

import numpy as np

from twnet_ros.learn.streets import mesh as m
from twnet_ros.learn.streets import texture
from twnet_ros.learn.streets.person import add_walker, make_outfit
from twnet_ros.learn.streets.site import CROSS, CROSS_END, KERB_M, ZEBRA, Site

_SIGNS = ((0.75, 0.08, 0.08), (0.1, 0.25, 0.65), (0.9, 0.9, 0.9), (0.9, 0.75, 0.1))


def add_tree(site: Site, s: float, t: float, size: float) -> None:
    """A trunk and a crown of leafy balls; size 1 is some 6 m high."""
    st, rng = site.style, site.rng
    x, y, z = site.at(s, t)
    trunk = size * rng.uniform(2.0, 3.2)
    lean = rng.uniform(-0.15, 0.15)
    site.mesh.stick(
        (x, y, z),
        (x + lean, y + trunk + size, z),
        0.17 * size,
        m.L_VEGETATION,
        st.bark,
        taper=0.4,
        layer=texture.PLANK,
        contrast=0.2,
    )
    leaf = st.leaf[rng.integers(4)] * rng.uniform(0.85, 1.15)
    for _ in range(rng.integers(4, 8)):
        r = size * rng.uniform(1.0, 1.7)
        angle, off = rng.uniform(0, 6.28), size * rng.uniform(0.2, 1.3)
        centre = (
            x + lean + off * math.cos(angle),
            y + trunk + size * rng.uniform(0.3, 2.6),
            z + off * math.sin(angle),
        )
        site.mesh.ball(
            centre,
            r,
            0.85 * r,
            m.L_VEGETATION,
            leaf * rng.uniform(0.8, 1.15),
            shape=m.BLOB,
            noise=rng.random(),
            material=m.LEAF,
            layer=texture.FOLIAGE,
            contrast=0.33,
        )
    site.blot(x, y, z, trunk + size, 2.0 * size)


def add_bush(site: Site, s: float, t: float) -> None:
    """One leafy ball on the ground."""
    x, y, z = site.at(s, t)
    r = site.rng.uniform(0.4, 1.0)
    site.mesh.ball(
        (x, y + 0.7 * r, z),
        r,
        0.8 * r,
        m.L_VEGETATION,
        site.style.leaf[site.rng.integers(4)],
        shape=m.BLOB,
        noise=site.rng.random(),
        material=m.LEAF,
        layer=texture.FOLIAGE,
        contrast=0.3,
    )


def add_bystander(site: Site, s: float, t: float) -> None:
    """Someone who stands on the sidewalk."""
    x, y, z = site.at(s, t, KERB_M)
    out = np.empty((40, m.COLUMNS))
    rng = site.rng
    n = add_walker(
        out,
        0,
        x,
        y,
        z,
        rng.uniform(0, 6.28),
        rng.uniform(0, 6.28),
        rng.uniform(0.05, 0.2),
        make_outfit(rng),
    )
    site.placed.append(out[:n].copy())


def add_lamp(site: Site, s: float, side: float) -> None:
    """A street lamp at the kerb, its arm over the road."""
    st = site.style
    x, y, z = site.at(s, side * (st.half + 0.35))
    rgb, height = st.metal, 6.8
    site.mesh.stick((x, y, z), (x, y + height, z), 0.095, m.L_POLE, rgb, taper=0.4)
    site.mesh.stick((x, y + height, z), (x - side * 1.6, y + height + 0.3, z), 0.06, m.L_POLE, rgb)
    site.mesh.box(
        (min(x, x - side * 2.1) + 0.05, y + height + 0.25, z - 0.15),
        (max(x, x - side * 2.1) - 1.5, y + height + 0.4, z + 0.15),
        m.L_POLE,
        0.8 * rgb,
    )


def add_sign(site: Site, s: float, t: float) -> None:
    """Pole with one or two plates."""
    rng = site.rng
    x, y, z = site.at(s, t)
    height = rng.uniform(2.4, 3.1)
    site.mesh.stick((x, y, z), (x, y + height, z), 0.045, m.L_POLE, site.style.metal)
    top = height
    for _ in range(rng.integers(1, 3)):
        r = rng.uniform(0.3, 0.48)
        kind = rng.integers(0, 4)
        rgb = _SIGNS[rng.integers(4)]
        wide = 1.0 if kind < 3 else rng.uniform(1.3, 2.2)
        shape, p = (
            (m.ELLIPSE, (0.0, 0.0)),
            (m.TAPER, (0.5, 0.5)),
            (m.FULL, (0.0, 0.0)),
            (m.FULL, (0.0, 0.0)),
        )[kind]
        for k, (scale, tone) in enumerate(((1.0, rgb), (0.74, (0.92, 0.92, 0.9)))):
            hw, hh = r * wide * scale, r * scale
            lift = 0.13 * r if kind == 1 and k else 0.0
            site.mesh.plane(
                (x - hw, y + top - r - hh - lift, z - 0.06 - 0.012 * k),
                (2 * hw, 0.0, 0.0),
                (0.0, 2 * hh, 0.0),
                m.L_SIGN,
                tone if kind != 3 else rgb,
                shape=shape,
                p=p,
                layer=texture.PRINT if k else texture.FLAT,
                contrast=0.3 if k else 0.0,
            )
        top -= 2 * r + 0.08


def _add_signal(site: Site, x: float, y: float, z: float, phase: int) -> None:
    site.mesh.box(
        (x - 0.19, y - 0.55, z - 0.12),
        (x + 0.19, y + 0.55, z + 0.12),
        m.L_LIGHT,
        (0.07, 0.08, 0.07),
    )
    for k, rgb in enumerate(((0.1, 1.0, 0.45), (1.0, 0.75, 0.1), (1.0, 0.12, 0.1))):
        on = k == phase
        site.mesh.plane(
            (x - 0.13, y - 0.47 + 0.33 * k, z - 0.13),
            (0.26, 0.0, 0.0),
            (0.0, 0.26, 0.0),
            m.L_LIGHT,
            tuple((1.0 if on else 0.22) * c for c in rgb),
            shape=m.ELLIPSE,
            material=m.GLOW,
        )


def add_lights(site: Site) -> None:
    """Signals on both sides of the junction, some on an arm over the road."""
    st, rng = site.style, site.rng
    phase = int(rng.integers(0, 3))
    for s, t in (
        (CROSS_END + 0.6, st.half + 0.5),
        (CROSS_END + 0.6, -st.half - 0.5),
        (ZEBRA - 0.4, st.half + 0.5),
        (ZEBRA - 0.4, -st.half - 0.5),
    ):
        x, y, z = site.at(s, t)
        height = 3.3
        site.mesh.stick((x, y, z), (x, y + height + 0.5, z), 0.08, m.L_POLE, st.metal)
        _add_signal(site, x, y + height, z - 0.12, phase)
        if s > CROSS:
            side = 1.0 if t > 0 else -1.0
            reach = x - side * 3.4
            site.mesh.stick((x, y, z), (x, y + 5.6, z), 0.11, m.L_POLE, st.metal)
            site.mesh.stick((x, y + 5.6, z), (reach, y + 5.8, z), 0.07, m.L_POLE, st.metal)
            _add_signal(site, reach, y + 5.2, z - 0.12, phase)
            if rng.random() < 0.6:
                site.mesh.plane(
                    (x - side * 1.6 - 0.9, y + 4.7, z - 0.1),
                    (1.8, 0.0, 0.0),
                    (0.0, 1.0, 0.0),
                    m.L_SIGN,
                    _SIGNS[1],
                    layer=texture.PRINT,
                    contrast=0.35,
                )
