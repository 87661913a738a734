"""What makes one street differ from another: cross-section, bends, palette, light, traffic."""

import colorsys
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from twnet_ros.learn.streets.array import Array
from twnet_ros.segment.compiled import compiled

BLOCK_M = 48.0


@compiled
def _wave(table: Array, s: float) -> float:
    total = 0.0
    for k in range(table.shape[0]):
        total += table[k, 0] * math.sin(2 * math.pi * s / table[k, 1] + table[k, 2])
    return total


@compiled
def _wave_slope(table: Array, s: float) -> float:
    total = 0.0
    for k in range(table.shape[0]):
        rate = 2 * math.pi / table[k, 1]
        total += table[k, 0] * rate * math.cos(rate * s + table[k, 2])
    return total


@dataclass(frozen=True)
class Curve:
    """Centre line: waves of lateral offset and of height, so any position has a closed form."""

    sway: Array  # rows of (amplitude m, wavelength m, phase rad)
    hills: Array

    def x(self, s: float) -> float:
        """Lateral position in m at ``s`` m along the street."""
        return float(_wave(self.sway, s))

    def y(self, s: float) -> float:
        """Height of the road in m."""
        return float(_wave(self.hills, s))

    def heading(self, s: float) -> float:
        """Direction of the street in rad, towards +x."""
        return math.atan(_wave_slope(self.sway, s))

    def slope(self, s: float) -> float:
        """Angle of climb in rad."""
        return math.atan(_wave_slope(self.hills, s))


@dataclass(frozen=True)
class Style:
    """Constants of one seed; lengths in m, colours 0..1."""

    curve: Curve
    lanes: int  # per direction
    own_lane: int  # the one we drive in, 0 the innermost
    lane: float
    parking: float  # width of the parking lane, 0 for none
    tracks: bool  # a tram line in the middle
    verge: float  # grass between kerb and sidewalk, 0 for none
    walk: float  # width of the sidewalk
    junction: int  # blocks from one crossing to the next
    lots: Array  # chances of building, house, park, wall, yard
    height: float  # typical height of buildings
    facades: Array  # (n, 3)
    roofs: Array
    leaf: Array
    bark: Array
    grass: Array
    asphalt: Array
    paving: Array
    walls: Array
    fence: Array
    metal: Array
    tree_chance: float
    parked_chance: float
    people_m: float  # way between people on a sidewalk
    cars_m: float  # way between moving cars
    sun: Array  # unit vector to it
    sunlight: Array
    ambient: Array
    sky: Array  # rows: see shade.shade
    haze: float
    shadow: float
    eye: float  # height of the camera
    focal: float  # in image widths
    horizon: float  # in image heights from the top
    pace: float  # m/s when driving
    bonnet: float  # height of the visible bonnet in image heights, 0 for none
    grain: float  # deviation of the sensor's noise in grey levels

    @property
    def median(self) -> float:
        """Half width of the tram line."""
        return 3.0 if self.tracks else 0.0

    @property
    def half(self) -> float:
        """Half width of the road between the kerbs."""
        return self.median + self.lanes * self.lane + self.parking

    @property
    def front(self) -> float:
        """Distance from the centre line to the first lot."""
        return self.half + self.verge + self.walk

    def lane_centre(self, lane: int) -> float:
        """Lateral position of a lane of our direction, 0 the innermost."""
        return self.median + (lane + 0.5) * self.lane


def _color(
    rng: np.random.Generator,
    hue: tuple[float, float],
    saturation: tuple[float, float],
    value: tuple[float, float],
) -> Array:
    return np.array(
        colorsys.hsv_to_rgb(rng.uniform(*hue) % 1, rng.uniform(*saturation), rng.uniform(*value))
    )


def _light(rng: np.random.Generator) -> dict[str, Any]:
    """Time of day and weather."""
    weather = rng.choice(["clear", "clouds", "overcast", "evening"], p=[0.3, 0.3, 0.25, 0.15])
    azimuth = rng.uniform(0, 2 * math.pi)
    elevation = rng.uniform(0.2, 0.4) if weather == "evening" else rng.uniform(0.5, 1.05)
    sun = np.array(
        [
            math.cos(elevation) * math.sin(azimuth),
            math.sin(elevation),
            math.cos(elevation) * math.cos(azimuth),
        ]
    )
    white = np.ones(3)
    if weather == "overcast":
        grey = rng.uniform(0.75, 0.95)
        zenith, horizon, cloud = grey * white * 0.92, grey * white, 0.85 * grey * white
        sunlight, ambient = 0.12 * white, rng.uniform(0.68, 0.85) * np.array([0.97, 0.99, 1.02])
        cover, sharp, shadow = rng.uniform(-0.3, 0.6), 0.4, 0.93
    elif weather == "evening":
        zenith = _color(rng, (0.58, 0.68), (0.25, 0.5), (0.45, 0.7))
        horizon = _color(rng, (0.04, 0.12), (0.25, 0.55), (0.85, 1.0))
        cloud = _color(rng, (0.95, 1.08), (0.1, 0.35), (0.7, 0.95))
        sunlight, ambient = np.array([0.75, 0.5, 0.3]), np.array([0.42, 0.4, 0.47])
        cover, sharp, shadow = rng.uniform(-0.6, 0.2), 0.7, 0.62
    else:
        zenith = _color(rng, (0.55, 0.62), (0.35, 0.65), (0.7, 0.95))
        horizon = _color(rng, (0.52, 0.6), (0.03, 0.2), (0.88, 1.0))
        cloud = rng.uniform(0.88, 1.0) * white
        sunlight = rng.uniform(0.5, 0.8) * np.array([1.05, 1.0, 0.9])
        ambient = rng.uniform(0.48, 0.68) * np.array([0.93, 0.98, 1.08])
        cover = rng.uniform(-1.8, -0.7) if weather == "clear" else rng.uniform(-0.5, 0.4)
        sharp, shadow = rng.uniform(0.6, 1.2), rng.uniform(0.45, 0.6)
    ground = 0.55 * horizon + 0.35 * ambient.mean()
    side = -1.0 if sun[0] < 0 else 1.0
    last = np.array([cover, sharp, 0.0, side * (0.3 if weather == "overcast" else 1.0)])
    sky = np.zeros((6, 4))
    sky[:5, :3] = [zenith, horizon, cloud, ground, 0.75 * horizon * (0.6 + 0.4 * ambient.mean())]
    sky[5] = last
    return {
        "sun": sun,
        "sunlight": sunlight,
        "ambient": ambient,
        "sky": sky,
        "shadow": float(shadow),
        "haze": float(rng.choice([1.2, 2.5, 5.0]) * 1e-3),
    }


def make_style(seed: int) -> Style:
    """Draw everything a street keeps along its whole length."""
    rng = np.random.default_rng((seed, 1))
    sway = np.array(
        [
            [rng.uniform(2, 9), rng.uniform(240, 420), rng.uniform(0, 6.28)],
            [rng.uniform(0.3, 2.0), rng.uniform(110, 170), rng.uniform(0, 6.28)],
        ]
    )
    hills = np.array([[rng.uniform(0, 1.6), rng.uniform(260, 480), rng.uniform(0, 6.28)]])
    kind = rng.choice(["city", "suburb", "green", "works", "mixed"])
    lots = {
        "city": [0.8, 0.02, 0.07, 0.06, 0.05],
        "suburb": [0.12, 0.62, 0.13, 0.06, 0.07],
        "green": [0.15, 0.25, 0.45, 0.1, 0.05],
        "works": [0.35, 0.05, 0.1, 0.25, 0.25],
        "mixed": [0.4, 0.25, 0.15, 0.1, 0.1],
    }[str(kind)]
    city = kind in ("city", "mixed")
    facades = np.array(
        [_color(rng, (0.0, 0.17), (0.02, 0.6), (0.4, 1.0)) for _ in range(4)]
        + [_color(rng, (0.0, 1.0), (0.0, 0.45), (0.35, 0.95)) for _ in range(3)]
    )
    grey = rng.uniform(0.22, 0.48)
    lanes = 2 if rng.random() < 0.35 else 1
    return Style(
        curve=Curve(sway, hills),
        lanes=lanes,
        own_lane=int(rng.integers(0, lanes)),
        lane=rng.uniform(3.0, 3.6),
        parking=float(rng.choice([0.0, 2.2, 2.4], p=[0.35, 0.35, 0.3])),
        tracks=bool(rng.random() < (0.3 if lanes == 1 else 0.1)),
        verge=float(rng.choice([0.0, 1.4, 2.4], p=[0.5, 0.25, 0.25])),
        walk=rng.uniform(2.8, 6.0) if city else rng.uniform(2.0, 4.0),
        junction=int(rng.integers(3, 5)),
        lots=np.array(lots),
        height=rng.uniform(9, 20) if city else rng.uniform(6, 12),
        facades=facades,
        roofs=np.array([_color(rng, (0.0, 0.08), (0.1, 0.6), (0.25, 0.55)) for _ in range(3)]),
        leaf=np.array([_color(rng, (0.19, 0.36), (0.3, 0.65), (0.2, 0.5)) for _ in range(4)]),
        bark=_color(rng, (0.04, 0.12), (0.1, 0.4), (0.18, 0.4)),
        grass=_color(rng, (0.15, 0.32), (0.25, 0.55), (0.3, 0.55)),
        asphalt=grey * np.array([1.0, 1.0, rng.uniform(0.98, 1.08)]),
        paving=_color(rng, (0.0, 0.15), (0.0, 0.18), (0.4, 0.72)),
        walls=_color(rng, (0.0, 0.14), (0.02, 0.45), (0.35, 0.8)),
        fence=_color(rng, (0.0, 1.0), (0.0, 0.35), (0.1, 0.75)),
        metal=_color(rng, (0.3, 0.65), (0.0, 0.25), (0.18, 0.6)),
        tree_chance=rng.uniform(0.1, 0.7),
        parked_chance=rng.uniform(0.15, 0.8),
        people_m=rng.uniform(7, 16) if city else rng.uniform(12, 28),
        cars_m=rng.uniform(18, 45),
        eye=rng.uniform(1.2, 1.6),
        focal=rng.uniform(0.9, 1.12),
        horizon=rng.uniform(0.41, 0.48),
        pace=rng.uniform(6.5, 11.5),
        bonnet=float(rng.choice([0.0, 0.05, 0.09], p=[0.7, 0.15, 0.15])),
        grain=rng.uniform(0.7, 2.2),
        **_light(rng),
    )
