"""What moves in a street: vehicles, riders and people, each at a closed-form place and time."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from twnet_ros.learn.streets import cycle, raster, vehicle
from twnet_ros.learn.streets import mesh as m
from twnet_ros.learn.streets.array import Array
from twnet_ros.learn.streets.person import STRIDE_M, add_rider, add_walker, make_outfit
from twnet_ros.learn.streets.site import CROSS, CROSS_END, KERB_M, ZEBRA, ZEBRA_END, pick_paint
from twnet_ros.learn.streets.style import BLOCK_M, Style

_ROWS = 8000  # surfaces that move, at most; a busy street has some 2000
_SPARE = 200  # kept for the vehicle ahead
# Convoys of things that follow each other at one speed; each has its own dice.
_LANES, _OVERTAKING, _TRAMS, _CYCLISTS, _WALKERS, _JUNCTION, _LEADER = range(0, 700, 100)


@dataclass(frozen=True)
class Actor:
    """The dice of one moving thing; what they decide depends on where it moves."""

    offset: float  # -0.5..0.5, place in its convoy
    present: float  # 0..1, as the rest
    kind: float
    model: float
    lateral: float
    pace: float
    phase: float
    paint: Array
    second: Array
    outfit: Array


@lru_cache(maxsize=4096)
def _actor(seed: int, convoy: int, number: int) -> Actor:
    # Numbers may be negative far from the start; seeds may not.
    rng = np.random.default_rng((seed, 5, convoy, abs(number), int(number < 0)))
    offset, present, kind, model, lateral, pace, phase = (float(d) for d in rng.random(7))
    return Actor(
        offset=offset - 0.5,
        present=present,
        kind=kind,
        model=model,
        lateral=lateral,
        pace=pace,
        phase=phase,
        paint=pick_paint(rng),
        second=rng.uniform(0.4, 1.0, 3),
        outfit=make_outfit(rng),
    )


class Traffic:
    """Everything that moves at one moment near one place; fills ``rows[:count]``.

    seconds: time since the street began. halt: seconds since the middle of the nearest halt of
    the ego car at a junction. s: its place along the street in m.
    """

    def __init__(self, style: Style, seed: int, seconds: float, halt: float, s: float) -> None:
        self._style, self._seed = style, seed
        self._seconds, self._halt, self._s = seconds, halt, s
        self.rows = np.empty((_ROWS, m.COLUMNS))
        self.count = 0
        self._shadows: list[tuple[float, float, float, float, float, float]] = []
        self._vehicles()
        self._walkers()
        self._junctions()
        if self.count >= _ROWS - _SPARE:
            raise RuntimeError(f"expected fewer than {_ROWS - _SPARE} moving surfaces")

    def _convoy(
        self, convoy: int, speed: float, spacing: float, ahead: float, behind: float = 8.0
    ) -> list[tuple[float, Actor]]:
        """The places in m of those that are near now."""
        moved = speed * self._seconds + 13.7 * convoy
        first = math.ceil((self._s - behind - moved) / spacing - 0.5)
        last = math.floor((self._s + ahead - moved) / spacing + 0.5)
        found = []
        for number in range(first, last + 1):
            actor = _actor(self._seed, convoy, number)
            at = moved + (number + 0.5 * actor.offset) * spacing
            if self._s - behind <= at <= self._s + ahead:
                found.append((at, actor))
        return found

    def _drive(
        self, rows: Array, s: float, t: float, turn: float, actor: Actor, length: float
    ) -> None:
        curve = self._style.curve
        x, y, yaw = curve.x(s) + t, curve.y(s), curve.heading(s) + turn
        self.count = raster.place(
            rows, self.rows, self.count, x, y, s, yaw, actor.paint, actor.second
        )
        half = 0.3 if length < 2 else 1.0
        self._shadows.append((x, y, s, yaw, half, length / 2))

    def _ride(self, motor: bool, s: float, t: float, turn: float, actor: Actor) -> None:
        """A bicycle or motorcycle with its rider, pedalling by the way it has gone."""
        self._drive(cycle.motorcycle() if motor else cycle.bicycle(), s, t, turn, actor, 1.7)
        curve = self._style.curve
        seat, reach, lean, crank = (0.76, 0.4, 0.18, 0.0) if motor else (0.93, 0.3, 0.4, 0.17)
        phase = 0.3 if motor else (1.0 if turn == 0 else -1.0) * s / 0.85
        self.count = add_rider(
            self.rows,
            self.count,
            curve.x(s) + t,
            curve.y(s),
            s,
            curve.heading(s) + turn,
            phase,
            seat,
            reach,
            lean,
            crank,
            actor.outfit,
        )

    def _mixed(self, s: float, t: float, turn: float, actor: Actor) -> None:
        """One of the street's usual mix."""
        kind, model = actor.kind, actor.model
        if kind < 0.7:
            self._drive(vehicle.cars()[int(5 * model)], s, t, turn, actor, 4.4)
        elif kind < 0.8:
            self._drive(vehicle.trucks()[int(3 * model)], s, t, turn, actor, 7.5)
        elif kind < 0.89:
            self._drive(vehicle.bus(), s, t, turn, actor, 11.5)
        else:
            self._ride(kind < 0.97, s, t, turn, actor)

    def lead(self, s: float) -> None:
        """Add the vehicle that drives ahead of the ego car, its rear end at ``s``."""
        actor = _actor(self._seed, _LEADER, 0)
        half = 2.3 if actor.kind < 0.7 else 4.3 if actor.kind < 0.8 else 5.8
        self._mixed(s + half, self._style.lane_centre(self._style.own_lane), 0.0, actor)

    def _vehicles(self) -> None:
        st = self._style
        for lane in range(st.lanes):
            spacing, t = st.cars_m * (1.0 + 0.3 * lane), st.lane_centre(lane)
            for at, actor in self._convoy(_LANES + lane, -(st.pace - 1 + lane), spacing, 170):
                if actor.present < 0.85:
                    self._mixed(at, -t, math.pi, actor)
            if lane != st.own_lane:
                for at, actor in self._convoy(
                    _OVERTAKING, (1.15 - 0.3 * lane) * st.pace, spacing, 170
                ):
                    if actor.present < 0.8:
                        self._mixed(at, t, 0.0, actor)
        if st.tracks:
            for key, speed, t, turn in ((0, -9.0, -1.5, math.pi), (1, 5.0, 1.5, 0.0)):
                for at, actor in self._convoy(_TRAMS + key, speed, 170.0, 230, 20):
                    self._drive(vehicle.tram(), at, t, turn, actor, 23.0)
        edge = st.half - st.parking - 0.45
        for key, speed, t, turn in ((0, 4.3, edge, 0.0), (1, -4.8, -edge, math.pi)):
            for at, actor in self._convoy(_CYCLISTS + key, speed, 38.0, 110):
                if actor.present < 0.75:
                    self._ride(actor.kind < 0.25, at, t, turn, actor)

    def _walk(
        self,
        s: float,
        t: float,
        turn: float,
        phase: float,
        swing: float,
        actor: Actor,
        lift: float,
    ) -> None:
        curve = self._style.curve
        x, y = curve.x(s) + t, curve.y(s) + lift
        self.count = add_walker(
            self.rows, self.count, x, y, s, curve.heading(s) + turn, phase, swing, actor.outfit
        )
        self._shadows.append((x, y, s, 0.0, 0.28, 0.28))

    def _walkers(self) -> None:
        st = self._style
        low, high = st.half + st.verge + 0.9, st.front - 0.35
        for key in range(8):
            side = 1.0 if key % 2 else -1.0
            speed = (1.0 if key % 4 < 2 else -1.0) * (1.15 + 0.11 * key)
            for at, actor in self._convoy(_WALKERS + key, speed, 3.2 * st.people_m, 75):
                number = math.floor(at / BLOCK_M)
                within = at - number * BLOCK_M
                on_road = number % st.junction == 0 and CROSS < within < CROSS_END
                step = STRIDE_M * actor.outfit[0] / 1.75
                phase = 2 * math.pi * (abs(speed) * self._seconds / step + actor.phase)
                t = side * (low + (high - low) * actor.lateral)
                self._walk(
                    at,
                    t,
                    0.0 if speed > 0 else math.pi,
                    phase,
                    0.85 + 0.3 * actor.pace,
                    actor,
                    0.0 if on_road else KERB_M,
                )

    def _junctions(self) -> None:
        """People and cars that cross while the ego car halts."""
        st, way = self._style, self._style.junction * BLOCK_M
        for number in range(math.floor(self._s / way), math.floor((self._s + 150) / way) + 1):
            base = number * way
            crowd = 2 + int(5 * _actor(self._seed, _JUNCTION, number).model)
            for k in range(crowd):
                actor = _actor(self._seed, _JUNCTION + 1 + k, number)
                side = -1.0 if actor.kind < 0.5 else 1.0
                near = actor.present < 0.7
                low, high = (ZEBRA + 0.8, CROSS - 1.2) if near else (CROSS_END + 1, ZEBRA_END - 1)
                goal = (1.1 + 0.5 * actor.pace) * (self._halt + 6 * actor.offset)
                limit = st.half + 0.6 + actor.model
                t = side * min(limit, max(-limit, goal))
                phase = 2 * math.pi * (side * t / (STRIDE_M * actor.outfit[0] / 1.75))
                self._walk(
                    base + low + (high - low) * actor.lateral,
                    t,
                    side * math.pi / 2,
                    phase + actor.phase,
                    1.0 if abs(goal) < limit else 0.1,
                    actor,
                    KERB_M if abs(t) > st.half else 0.0,
                )
            for k in range(3):
                actor = _actor(self._seed, _JUNCTION + 20 + k, number)
                side = 1.0 if k % 2 else -1.0
                t = side * 8.5 * (self._halt + 3 * actor.offset)
                if abs(t) < 80 and actor.present < 0.7:
                    lane = CROSS_END - 3.0 if side < 0 else CROSS + 3.0
                    self._drive(
                        vehicle.cars()[int(5 * actor.model)],
                        base + lane,
                        t,
                        side * math.pi / 2,
                        actor,
                        4.4,
                    )

    def shadows(self) -> Array:
        """Rows of what lies dark on the ground under everything."""
        rows = m.Mesh()
        sun = self._style.sun
        dx, dz = -0.35 * sun[[0, 2]] / max(0.3, sun[1])
        for x, y, z, yaw, half_x, half_z in self._shadows:
            sin, cos = math.sin(yaw), math.cos(yaw)
            side, along = (half_x * cos, -half_x * sin), (half_z * sin, half_z * cos)
            rows.plane(
                (x - side[0] - along[0] + dx, y + 0.03, z - side[1] - along[1] + dz),
                (2 * side[0], 0.0, 2 * side[1]),
                (2 * along[0], 0.0, 2 * along[1]),
                0,
                (0.0, 0.0, 0.0),
                shape=m.FULL if half_x > 0.5 else m.ELLIPSE,
            )
        return rows.array()
