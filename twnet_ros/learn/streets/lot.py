"""Plots along the street: buildings, houses with gardens, parks, walls, yards."""

from typing import Any

from twnet_ros.learn.streets import mesh as m
from twnet_ros.learn.streets import texture, vehicle
from twnet_ros.learn.streets.array import Array
from twnet_ros.learn.streets.furniture import add_bush, add_tree
from twnet_ros.learn.streets.site import KERB_M, WIDE_M, Site


def _lawn(site: Site, side: float, s: float, e: float) -> None:
    front = site.style.front
    site.sheet(
        s,
        e,
        side * front,
        side * WIDE_M,
        KERB_M,
        m.L_TERRAIN,
        site.style.grass * site.rng.uniform(0.85, 1.15),
        texture.GRASS,
        0.2,
    )


def _tower(
    site: Site,
    side: float,
    s: float,
    e: float,
    t: float,
    height: float,
    depth: float,
    rgb: Array,
    *,
    gable: bool,
) -> None:
    """A building: facade, both ends, roof; and its shadow."""
    rng = site.rng
    layer = int(rng.choice([texture.BRICK, texture.PLASTER, texture.STONE, texture.PANEL]))
    contrast = 0.09 if layer == texture.PANEL else 0.16
    cell = rng.uniform(2.2, 4.0)
    cell = (e - s) / max(1, round((e - s) / cell))
    style = int(rng.integers(1, 90)) + rng.random()
    how: dict[str, Any] = {"material": m.FACADE, "layer": layer, "contrast": contrast}
    site.front(
        side,
        s,
        e,
        t,
        -0.8,
        height,
        m.L_BUILDING,
        rgb,
        tex=(0.0, -0.8, e - s, height + 0.8),
        extra=(cell, style),
        **how,
    )
    site.front(side, s, e, t - 0.25, height - 0.5, height, m.L_BUILDING, 0.8 * rgb)
    if gable or rng.random() < 0.4:
        run, rise = (0.5 * depth, 0.45 * depth) if gable else (2.0, 2.4)
    else:
        run, rise = 0.0, 0.0
    roof = site.style.roofs[rng.integers(3)]
    for at in (s, e):
        o = site.at(at, side * t, -0.8)
        site.mesh.plane(
            o,
            (side * depth, 0.0, 0.0),
            (0.0, height + 0.8, 0.0),
            m.L_BUILDING,
            rgb * 0.95,
            tex=(0.0, -0.8, depth, height + 0.8),
            extra=(depth / max(1, round(depth / 3.2)), style + 1),
            **how,
        )
        if rise > 0:
            site.mesh.plane(
                site.at(at, side * t, height),
                (side * depth, 0.0, 0.0),
                (0.0, rise, 0.0),
                m.L_BUILDING,
                rgb * 0.95 if gable else roof,
                shape=m.TAPER,
                p=(run / depth, run / depth),
                layer=layer,
                contrast=contrast,
            )
    for edge, inward in ((t, 1.0), (t + depth, -1.0)):
        if rise > 0:
            o, far = site.at(s, side * edge, height), site.at(e, side * edge, height)
            along = (far[0] - o[0], far[1] - o[1], e - s)
            site.mesh.plane(
                o,
                along,
                (side * inward * run, rise, 0.0),
                m.L_BUILDING,
                roof,
                layer=texture.BRICK,
                contrast=0.2,
            )
    if rng.random() < 0.35 and not gable:
        sign_rgb = rng.uniform(0.1, 0.9, 3)
        width = min(4.0, 0.6 * (e - s))
        mid = 0.5 * (s + e)
        site.front(
            side,
            mid - width / 2,
            mid + width / 2,
            t - 0.08,
            3.0,
            3.7,
            m.L_BUILDING,
            sign_rgb,
            layer=texture.PRINT,
            contrast=0.3,
        )
    site.cast(s, e, side * t, height)


def _building(site: Site, side: float, s: float, e: float) -> None:
    st, rng = site.style, site.rng
    front = st.front
    if rng.random() < 0.12:  # an alley at its end
        site.sheet(
            s, e, side * front, side * WIDE_M, KERB_M, m.L_SIDEWALK, st.paving, texture.SLAB, 0.12
        )
        e -= 2.5
    rgb = st.facades[rng.integers(len(st.facades))] * rng.uniform(0.85, 1.1)
    _tower(site, side, s, e, front, st.height * rng.uniform(0.6, 1.5), 14.0, rgb, gable=False)


def _house(site: Site, side: float, s: float, e: float) -> None:
    st, rng = site.style, site.rng
    _lawn(site, side, s, e)
    _border(site, side, s, e, st.front + 0.2, low=True)
    back = st.front + rng.uniform(3.0, 6.0)
    rgb = st.facades[rng.integers(len(st.facades))] * rng.uniform(0.9, 1.1)
    _tower(
        site,
        side,
        s + 1.2,
        e - 1.2,
        back,
        rng.uniform(3.2, 6.5),
        rng.uniform(7, 10),
        rgb,
        gable=True,
    )
    for _ in range(rng.integers(0, 3)):
        add_tree(
            site,
            rng.uniform(s + 1, e - 1),
            side * (st.front + rng.uniform(1.2, 2.6)),
            rng.uniform(0.4, 0.8),
        )


def _park(site: Site, side: float, s: float, e: float) -> None:
    st, rng = site.style, site.rng
    _lawn(site, side, s, e)
    if rng.random() < 0.5:
        _border(site, side, s, e, st.front + 0.2, low=rng.random() < 0.5)
    for _ in range(rng.integers(2, 6)):
        add_tree(
            site, rng.uniform(s, e), side * (st.front + rng.uniform(2, 14)), rng.uniform(0.7, 1.3)
        )
    for _ in range(rng.integers(0, 5)):
        add_bush(site, rng.uniform(s, e), side * (st.front + rng.uniform(1, 8)))
    site.front(
        side,
        s,
        e,
        st.front + 22,
        0.0,
        rng.uniform(4, 8),
        m.L_VEGETATION,
        st.leaf[0] * 0.8,
        layer=texture.FOLIAGE,
        contrast=0.3,
    )


def _wall(site: Site, side: float, s: float, e: float) -> None:
    st, rng = site.style, site.rng
    _lawn(site, side, s, e)
    height = rng.uniform(1.6, 3.6)
    layer = int(rng.choice([texture.BRICK, texture.STONE, texture.PLASTER]))
    rgb = st.walls * rng.uniform(0.85, 1.1)
    site.front(side, s, e, st.front, -0.3, height, m.L_WALL, rgb, layer=layer, contrast=0.18)
    site.front(side, s, e, st.front - 0.06, height - 0.15, height, m.L_WALL, 0.8 * rgb)
    for at in (s, e):
        site.mesh.plane(
            site.at(at, side * st.front, -0.3),
            (side * 0.3, 0.0, 0.0),
            (0.0, height + 0.3, 0.0),
            m.L_WALL,
            rgb,
        )
    site.cast(s, e, side * st.front, height)
    for _ in range(rng.integers(0, 4)):
        add_tree(
            site, rng.uniform(s, e), side * (st.front + rng.uniform(2, 7)), rng.uniform(0.8, 1.3)
        )
    if rng.random() < 0.5:
        _tower(
            site,
            side,
            s,
            e,
            st.front + rng.uniform(8, 16),
            rng.uniform(6, 12),
            12.0,
            st.facades[rng.integers(len(st.facades))],
            gable=False,
        )


def _yard(site: Site, side: float, s: float, e: float) -> None:
    """A paved yard behind a fence, with a hall at its back and things standing about."""
    st, rng = site.style, site.rng
    site.sheet(
        s,
        e,
        side * st.front,
        side * WIDE_M,
        KERB_M,
        m.L_TERRAIN,
        st.grass * 0.7 + 0.12,
        texture.ASPHALT,
        0.15,
    )
    _border(site, side, s, e, st.front + 0.1, low=False, fence=True)
    _tower(
        site,
        side,
        s,
        e,
        st.front + rng.uniform(10, 20),
        rng.uniform(5, 10),
        14.0,
        st.facades[rng.integers(len(st.facades))],
        gable=False,
    )
    if rng.random() < 0.6:
        site.stand(vehicle.trucks()[rng.integers(3)], 0.5 * (s + e), side * (st.front + 4.5))


def _border(
    site: Site, side: float, s: float, e: float, t: float, *, low: bool, fence: bool = False
) -> None:
    """Hedge, fence or low wall."""
    st, rng = site.style, site.rng
    kind = 1 if fence else rng.integers(0, 3)
    height = rng.uniform(0.8, 1.3) if low else rng.uniform(1.4, 2.3)
    if kind == 0:
        rgb = st.leaf[rng.integers(4)]
        how: dict[str, Any] = {"layer": texture.FOLIAGE, "contrast": 0.3}
        site.front(side, s, e, t, 0.0, height, m.L_VEGETATION, rgb, **how)
        o, far = site.at(s, side * t, height), site.at(e, side * t, height)
        site.mesh.plane(
            o,
            tuple(b - a for a, b in zip(o, far, strict=True)),
            (side * 0.7, 0.0, 0.0),
            m.L_VEGETATION,
            1.1 * rgb,
            **how,
        )
    elif kind == 1:
        rgb = st.fence * rng.uniform(0.8, 1.1)
        style = rng.integers(0, 3)
        count = float(max(1, round((e - s) / (0.14, 0.22, 0.9)[style])))
        if style == 0:
            site.front(side, s, e, t, 0.0, height, m.L_FENCE, rgb, shape=m.BARS, p=(count, 0.28))
        elif style == 1:
            site.front(
                side,
                s,
                e,
                t,
                0.0,
                height,
                m.L_FENCE,
                rgb,
                shape=m.BARS,
                p=(count, 0.72),
                layer=texture.PLANK,
                contrast=0.15,
            )
        else:
            site.front(
                side, s, e, t, 0.0, height, m.L_FENCE, rgb, layer=texture.PLANK, contrast=0.2
            )
        for k in range(int((e - s) / 2.5) + 1):
            p = site.at(min(e, s + 2.5 * k), side * (t - 0.02))
            site.mesh.stick(p, (p[0], p[1] + height + 0.05, p[2]), 0.05, m.L_FENCE, rgb)
    else:
        rgb = st.walls * rng.uniform(0.85, 1.1)
        site.front(
            side, s, e, t, -0.1, 0.7 * height, m.L_WALL, rgb, layer=texture.STONE, contrast=0.18
        )
        o, far = (site.at(at, side * t, 0.7 * height) for at in (s, e))
        site.mesh.plane(
            o,
            tuple(b - a for a, b in zip(o, far, strict=True)),
            (side * 0.3, 0.0, 0.0),
            m.L_WALL,
            1.15 * rgb,
        )
    site.cast(s, e, side * t, height)


def fill_lots(site: Site, side: float, a: float, b: float) -> None:
    """Divide the stretch a..b of one side into plots and build on each."""
    rng, s = site.rng, a
    while s < b - 0.5:
        width = rng.uniform(9.0, 19.0)
        e = b if b - s - width < 7.0 else s + width
        kind = rng.choice(5, p=site.style.lots)
        (_building, _house, _park, _wall, _yard)[kind](site, side, s, e)
        s = e
