"""People made of sticks and balls whose limbs follow a phase: walking, standing, riding."""

import math

import numpy as np

from twnet_ros.learn.streets import mesh as m
from twnet_ros.learn.streets import texture
from twnet_ros.learn.streets.array import Array
from twnet_ros.segment.compiled import compiled

STRIDE_M = 1.45  # way covered in one full cycle of two steps, at a height of 1.75 m
# Columns of an outfit: height m, girth, skin, hair, top, trousers, shoes (three each), extras.
SKIN, HAIR, TOP, TROUSERS, SHOES, EXTRA = 2, 5, 8, 11, 14, 17
OUTFIT_COLUMNS = 19  # EXTRA: 1 a bag, 2 a skirt or long coat, 3 a backpack; then cloth contrast

_SKINS = ((0.93, 0.76, 0.65), (0.82, 0.62, 0.5), (0.6, 0.42, 0.3), (0.4, 0.27, 0.2))
_HAIRS = ((0.1, 0.08, 0.07), (0.3, 0.2, 0.12), (0.62, 0.5, 0.3), (0.55, 0.55, 0.55))


def make_outfit(rng: np.random.Generator) -> Array:
    """(OUTFIT_COLUMNS,) size and clothes of one person; a tenth are children."""
    height = rng.uniform(1.1, 1.45) if rng.random() < 0.1 else rng.normal(1.72, 0.08)
    top = rng.uniform(0.05, 0.95, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0.05, 0.9))
    trousers = rng.choice([0.08, 0.18, 0.3, 0.5]) * np.array([0.9, 0.95, rng.uniform(0.9, 1.6)])
    outfit = np.zeros(OUTFIT_COLUMNS)
    outfit[0], outfit[1] = height, rng.uniform(0.9, 1.25)
    outfit[SKIN : SKIN + 3] = _SKINS[rng.integers(len(_SKINS))]
    outfit[HAIR : HAIR + 3] = _HAIRS[rng.integers(len(_HAIRS))]
    outfit[TOP : TOP + 3], outfit[TROUSERS : TROUSERS + 3] = top, trousers
    outfit[SHOES : SHOES + 3] = rng.choice([0.06, 0.15, 0.8])
    outfit[EXTRA], outfit[EXTRA + 1] = rng.integers(0, 5), rng.uniform(0.05, 0.3)
    return outfit


@compiled
def _row(out: Array, n: int, kind: int, label: int, outfit: Array, color: int) -> None:
    out[n, :] = 0
    out[n, m.KIND], out[n, m.LABEL] = kind, label
    out[n, m.MATERIAL] = m.ROUND
    out[n, m.LAYER] = texture.CLOTH
    out[n, m.CONTRAST] = outfit[EXTRA + 1]
    for k in range(3):
        out[n, m.RGB + k] = outfit[color + k]


@compiled
def _limb(
    out: Array,
    n: int,
    label: int,
    frame: tuple[float, ...],
    a: tuple[float, ...],
    b: tuple[float, ...],
    radius: float,
    taper: float,
    outfit: Array,
    color: int,
) -> int:
    """A capsule from a to b, given as (right, up, ahead) in the person's frame."""
    if n >= out.shape[0]:
        return n
    _row(out, n, m.STICK, label, outfit, color)
    for col, p in ((m.A, a), (m.B, b)):
        out[n, col] = frame[0] + p[0] * frame[4] + p[2] * frame[3]
        out[n, col + 1] = frame[1] + p[1]
        out[n, col + 2] = frame[2] + p[2] * frame[4] - p[0] * frame[3]
    length = math.sqrt((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2 + (b[2] - a[2]) ** 2)
    out[n, m.C] = radius
    out[n, m.SHAPE] = m.CAPSULE
    out[n, m.P0], out[n, m.P1] = length / (2 * radius), taper
    out[n, m.TEX + 2], out[n, m.TEX + 3] = 2 * radius, length + 2 * radius
    return n + 1


@compiled
def _head(
    out: Array,
    n: int,
    label: int,
    frame: tuple[float, ...],
    up: float,
    ahead: float,
    size: float,
    outfit: Array,
) -> int:
    """Face and, over it, hair."""
    for part in range(2):
        if n >= out.shape[0]:
            return n
        _row(out, n, m.BALL, label, outfit, SKIN if part == 0 else HAIR)
        back = ahead - 0.03 * part
        out[n, m.A] = frame[0] + back * frame[3]
        out[n, m.A + 1] = frame[1] + up + 0.055 * part * size
        out[n, m.A + 2] = frame[2] + back * frame[4]
        out[n, m.B], out[n, m.B + 1] = 0.098 * size, (0.135 - 0.055 * part) * size
        out[n, m.SHAPE] = m.ELLIPSE
        out[n, m.CONTRAST] = 0
        n += 1
    return n


@compiled
def add_walker(
    out: Array,
    n: int,
    x: float,
    y: float,
    z: float,
    yaw: float,
    phase: float,
    swing: float,
    outfit: Array,
) -> int:
    """Append a person at (x, y, z) m facing ``yaw``; phase in rad, swing 0 (standing) to 1."""
    k = outfit[0] / 1.75
    g = outfit[1] * k
    frame = (x, y, z, math.sin(yaw), math.cos(yaw))
    label = m.L_PERSON
    bob = 0.03 * swing * math.cos(2 * phase)
    hip = (0.9 + bob) * k
    for side in (-1.0, 1.0):
        angle = 0.5 * swing * math.sin(phase + (0.0 if side < 0 else math.pi))
        lift = math.cos(phase + (0.0 if side < 0 else math.pi))
        bend = swing * (0.15 + 0.75 * max(0.0, lift)) * 0.9
        hx = side * 0.09 * g
        knee = (hx, hip - 0.43 * k * math.cos(angle), 0.43 * k * math.sin(angle))
        shin = angle - bend
        foot = (
            hx,
            max(0.06, knee[1] - 0.42 * k * math.cos(shin)),
            knee[2] + 0.42 * k * math.sin(shin),
        )
        n = _limb(out, n, label, frame, (hx, hip, 0.0), knee, 0.085 * g, 0.2, outfit, TROUSERS)
        n = _limb(out, n, label, frame, knee, foot, 0.062 * g, 0.25, outfit, TROUSERS)
        toe = (hx, foot[1] - 0.02, foot[2] + 0.16 * k)
        n = _limb(out, n, label, frame, foot, toe, 0.045 * k, 0.1, outfit, SHOES)
        arm = -0.75 * angle + 0.05
        shoulder = (side * 0.2 * g, hip + 0.5 * k, 0.0)
        elbow = (side * 0.25 * g, shoulder[1] - 0.28 * k * math.cos(arm), 0.28 * k * math.sin(arm))
        fore = arm + 0.15 + 0.35 * swing
        hand = (
            side * 0.26 * g,
            elbow[1] - 0.27 * k * math.cos(fore),
            elbow[2] + 0.27 * k * math.sin(fore),
        )
        n = _limb(out, n, label, frame, shoulder, elbow, 0.055 * g, 0.1, outfit, TOP)
        n = _limb(out, n, label, frame, elbow, hand, 0.042 * g, 0.2, outfit, TOP)
        palm = (hand[0], hand[1] - 0.05 * k, hand[2] + 0.02)
        n = _limb(out, n, label, frame, hand, palm, 0.04 * k, 0.0, outfit, SKIN)
        if outfit[EXTRA] == 1 and side > 0:
            low = (hand[0] + 0.03, hand[1] - 0.32, hand[2])
            n = _limb(
                out, n, label, frame, (low[0], low[1] + 0.2, low[2]), low, 0.11, 0.0, outfit, SHOES
            )
    for side in (-1.0, 1.0):
        n = _limb(
            out,
            n,
            label,
            frame,
            (side * 0.07 * g, hip, 0.0),
            (side * 0.1 * g, hip + 0.46 * k, 0.0),
            0.125 * g,
            0.0,
            outfit,
            TOP,
        )
    if outfit[EXTRA] == 2:
        n = _limb(
            out,
            n,
            label,
            frame,
            (0.0, hip - 0.3 * k, 0.0),
            (0.0, hip + 0.1 * k, 0.0),
            0.19 * g,
            0.35,
            outfit,
            TOP,
        )
    if outfit[EXTRA] == 3:
        n = _limb(
            out,
            n,
            label,
            frame,
            (0.0, hip + 0.15 * k, -0.17),
            (0.0, hip + 0.4 * k, -0.17),
            0.13,
            0.1,
            outfit,
            HAIR,
        )
    n = _limb(
        out,
        n,
        label,
        frame,
        (0.0, hip + 0.5 * k, 0.0),
        (0.0, hip + 0.62 * k, 0.01),
        0.055 * k,
        0.0,
        outfit,
        SKIN,
    )
    return _head(out, n, label, frame, hip + 0.74 * k, 0.03, k, outfit)


@compiled
def add_rider(
    out: Array,
    n: int,
    x: float,
    y: float,
    z: float,
    yaw: float,
    phase: float,
    seat: float,
    reach: float,
    lean: float,
    crank: float,
    outfit: Array,
) -> int:
    """Append a rider; ``seat``, ``reach`` (hands ahead), ``crank`` (radius) in m, ``lean`` rad."""
    frame = (x, y, z, math.sin(yaw), math.cos(yaw))
    label = m.L_RIDER
    sx, cx = math.sin(lean), math.cos(lean)
    hip = (0.0, seat + 0.05, -0.2)
    top = (0.0, hip[1] + 0.5 * cx, hip[2] + 0.5 * sx)
    for side in (-1.0, 1.0):
        turn = phase + (0.0 if side < 0 else math.pi)
        foot = (side * 0.11, seat - 0.68 + crank * math.cos(turn), 0.1 + crank * math.sin(turn))
        # The knee lies ahead of the line from hip to foot, thigh and shin of 0.43 m each.
        dy, dz = foot[1] - hip[1], foot[2] - hip[2]
        dist = math.sqrt(dy * dy + dz * dz) + 1e-9
        out_by = math.sqrt(max(0.0, 0.43 * 0.43 - 0.25 * dist * dist))
        knee = (
            side * 0.12,
            hip[1] + 0.5 * dy + out_by * dz / dist,
            hip[2] + 0.5 * dz - out_by * dy / dist,
        )
        n = _limb(
            out, n, label, frame, (side * 0.09, hip[1], hip[2]), knee, 0.08, 0.2, outfit, TROUSERS
        )
        n = _limb(out, n, label, frame, knee, foot, 0.06, 0.25, outfit, TROUSERS)
        toe = (foot[0], foot[1] - 0.02, foot[2] + 0.14)
        n = _limb(out, n, label, frame, foot, toe, 0.045, 0.1, outfit, SHOES)
        shoulder = (side * 0.19, top[1] - 0.03, top[2])
        hand = (side * 0.24, seat + 0.15, reach)
        elbow = (
            side * 0.28,
            0.5 * (shoulder[1] + hand[1]) - 0.08,
            0.5 * (shoulder[2] + hand[2]) - 0.05,
        )
        n = _limb(out, n, label, frame, shoulder, elbow, 0.052, 0.1, outfit, TOP)
        n = _limb(out, n, label, frame, elbow, hand, 0.042, 0.2, outfit, TOP)
    n = _limb(
        out, n, label, frame, hip, (0.0, top[1] - 0.05, top[2]), 0.17 * outfit[1], 0.0, outfit, TOP
    )
    return _head(out, n, label, frame, top[1] + 0.22, top[2] + 0.06, 1.05, outfit)
