"""The standing part of the world, one block of 48 m at a time, from the hash of its number."""

import math

import numpy as np

from twnet_ros.learn.streets import cycle, texture, vehicle
from twnet_ros.learn.streets import mesh as m
from twnet_ros.learn.streets.furniture import (
    add_bystander,
    add_lamp,
    add_lights,
    add_sign,
    add_tree,
)
from twnet_ros.learn.streets.lot import fill_lots
from twnet_ros.learn.streets.site import (
    CROSS,
    CROSS_END,
    KERB_M,
    WIDE_M,
    ZEBRA,
    ZEBRA_END,
    Site,
)
from twnet_ros.learn.streets.style import BLOCK_M, Style

_CELL_M = 6.0


class Block:
    """Rows of one block: ``rows`` stand, ``shadows`` lie on the ground."""

    def __init__(self, style: Style, seed: int, number: int) -> None:
        site = Site(style, seed, number)
        junction = number % style.junction == 0
        _lay_ground(site, junction)
        free = [(0.0, ZEBRA), (ZEBRA_END, BLOCK_M)] if junction else [(0.0, BLOCK_M)]
        for side in (-1.0, 1.0):
            for a, b in free:
                fill_lots(site, side, a, b)
                _line_kerb(site, side, a, b)
        if junction:
            add_lights(site)
        self.rows = np.concatenate([site.mesh.array(), *site.placed])
        self.shadows = site.shade.array()


def _lay_ground(site: Site, junction: bool) -> None:
    st = site.style
    half, verge, front = st.half, st.half + st.verge, st.front
    s = 0.0
    while s < BLOCK_M - 1e-6:
        stops = [BLOCK_M, s + _CELL_M]
        if junction:
            stops += [p for p in (ZEBRA, CROSS, CROSS_END, ZEBRA_END) if p > s + 1e-6]
        e = min(stops)
        crossing = junction and ZEBRA - 1e-6 <= s < ZEBRA_END - 1e-6
        middle = junction and CROSS - 1e-6 <= s < CROSS_END - 1e-6
        if middle:
            site.sheet(s, e, -WIDE_M, WIDE_M, 0.0, m.L_ROAD, st.asphalt, texture.ASPHALT, 0.1)
            s = e
            continue
        site.sheet(
            s,
            e,
            -half,
            half,
            0.0,
            m.L_ROAD,
            st.asphalt,
            texture.ASPHALT,
            0.1,
            m.PLAIN if crossing else m.ROAD,
        )
        if crossing:
            site.sheet(
                s + 0.5,
                e - 0.5,
                -half + 0.4,
                half - 0.4,
                0.004,
                m.L_ROAD,
                st.asphalt,
                texture.ASPHALT,
                0.1,
                m.ZEBRA,
            )
        for side in (-1.0, 1.0):
            o, far = site.at(s, side * half), site.at(e, side * half)
            site.mesh.plane(
                o,
                tuple(b - a for a, b in zip(o, far, strict=True)),
                (0.0, KERB_M, 0.0),
                m.L_SIDEWALK,
                1.1 * st.paving,
                layer=texture.PLASTER,
                contrast=0.1,
            )
            strips = [(half, half + 0.18, m.L_SIDEWALK, 1.1 * st.paving, texture.PLASTER)]
            grassy = st.verge > 0 and not crossing
            strips.append(
                (half + 0.18, verge, m.L_TERRAIN, st.grass, texture.GRASS)
                if grassy
                else (half + 0.18, verge + 0.2, m.L_SIDEWALK, st.paving, texture.SLAB)
            )
            edge = WIDE_M if crossing else front
            strips.append((verge, edge, m.L_SIDEWALK, st.paving, texture.SLAB))
            for a, b, label, rgb, layer in strips:
                if b > a:
                    site.sheet(s, e, side * a, side * b, KERB_M, label, rgb, layer, 0.12)
        s = e
    if junction:
        for at in (CROSS, CROSS_END):
            for side in (-1.0, 1.0):
                site.mesh.plane(
                    site.at(at, side * half),
                    (side * (WIDE_M - half), 0.0, 0.0),
                    (0.0, KERB_M, 0.0),
                    m.L_SIDEWALK,
                    1.1 * st.paving,
                )


def _line_kerb(site: Site, side: float, a: float, b: float) -> None:
    """What stands on and beside the kerb: parked vehicles, lamps, signs, trees, people."""
    st, rng = site.style, site.rng
    kerb = st.half + 0.45
    s = a + 1.0
    while s < b - 5.5 and st.parking > 0:
        s += rng.uniform(5.0, 6.2)
        if s > b - 3 or rng.random() > st.parked_chance:
            continue
        turn = 0.0 if side > 0 else math.pi
        pick = rng.random()
        if pick < 0.9:
            rows, length = vehicle.cars()[rng.integers(5)], 4.4
        else:
            rows, length = vehicle.trucks()[0], 7.0
            s += 2.0
        site.stand(rows, s, side * (st.half - st.parking / 2 + 0.1), turn, shadow=length)
    s = a + rng.uniform(1, 6)
    while s < b - 1.0:
        pick = rng.random()
        t = side * kerb
        if pick < st.tree_chance:
            spot = t if st.verge == 0 else side * (st.half + st.verge / 2)
            add_tree(site, s, spot, rng.uniform(0.6, 1.05))
        elif pick < st.tree_chance + 0.15:
            add_sign(site, s, t)
        elif pick < st.tree_chance + 0.25:
            rows = cycle.bicycle() if rng.random() < 0.55 else cycle.motorcycle()
            for k in range(rng.integers(1, 4)):
                site.stand(rows, s + 0.9 * k, side * (kerb + 0.5), rng.uniform(0.9, 2.2), KERB_M)
        elif pick < st.tree_chance + 0.33:
            p = site.at(s, t)
            site.mesh.stick(p, (p[0], p[1] + 1.0, p[2]), 0.07, m.L_POLE, st.metal)
        s += rng.uniform(4.0, 9.0)
    for at in np.arange(a + (3.0 if side > 0 else 14.0), b, 23.0):
        add_lamp(site, float(at), side)
    for _ in range(rng.poisson((b - a) / st.people_m / 4)):
        add_bystander(site, rng.uniform(a, b), side * rng.uniform(kerb + 0.8, st.front - 0.4))
