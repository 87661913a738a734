"""Which surface a pixel shows: projection, exact spans and a depth buffer, in numba.

For a plane ``O + u U + v V`` in camera coordinates (x right, y down, z forward) the matrix
``[U V O]`` inverted and applied to a pixel's ray (X, Y, 1) gives (u/z, v/z, 1/z), each linear in
the pixel's position. So the span of a plane in a pixel row follows from five linear
inequalities, nothing is clipped or approximated, and texture coordinates are perspective-correct.
"""

import math
from functools import partial

import numpy as np

from twnet_ros.learn.streets import mesh as m
from twnet_ros.learn.streets.array import Array
from twnet_ros.segment.compiled import compiled

# Columns of a projected surface: nine coefficients of (u/z, v/z, 1/z) over (x px, y px, 1), then
OUT_Y0 = 9  # first and last row that can hold it
OUT_Y1 = 10
OUT_SHAPE = 11
OUT_P0 = 12
OUT_P1 = 13
OUT_LABEL = 14
OUT_MATERIAL = 15
OUT_TEX = 16
OUT_RGB = 20  # lit
OUT_LAYER = 23
OUT_CONTRAST = 24
OUT_E0 = 25
OUT_E1 = 26
OUT_COLUMNS = 27

NEAR_M = 0.3
FAR_M = 420.0


@partial(compiled, error_model="numpy")
def place(
    rows: Array,
    out: Array,
    count: int,
    x: float,
    y: float,
    z: float,
    yaw: float,
    paint: Array,
    second: Array,
) -> int:
    """Append rows turned by ``yaw`` (rad, towards +x) and moved; returns the new count."""
    sin, cos = math.sin(yaw), math.cos(yaw)
    for i in range(rows.shape[0]):
        if count >= out.shape[0]:
            return count
        out[count] = rows[i]
        kind = rows[i, m.KIND]
        for col in (m.A, m.B, m.C):
            if col == m.B and kind == m.BALL or col == m.C and kind != m.PLANE:
                break
            lx, lz = rows[i, col], rows[i, col + 2]
            out[count, col] = lx * cos + lz * sin
            out[count, col + 2] = lz * cos - lx * sin
            if col == m.A or kind == m.STICK:
                out[count, col] += x
                out[count, col + 1] += y
                out[count, col + 2] += z
        slot = rows[i, m.SLOT]
        for k in range(3):
            if slot == 1:
                out[count, m.RGB + k] *= paint[k]
            elif slot == 2:
                out[count, m.RGB + k] *= second[k]
        count += 1
    return count


@partial(compiled, error_model="numpy")
def project(
    rows: Array,
    count: int,
    out: Array,
    filled: int,
    eye: Array,
    rotation: Array,
    camera: Array,
    sun: Array,
    sunlight: Array,
    ambient: Array,
) -> int:
    """Append the visible ones of ``rows[:count]``, projected and lit, to ``out``; new fill.

    camera: (focal px, centre x px, centre y px, width, height). sun: direction to the sun.
    """
    focal, cx, cy, width, height = camera[0], camera[1], camera[2], camera[3], camera[4]
    o, u, v = np.empty(3), np.empty(3), np.empty(3)
    world_o, world_u, world_v = np.empty(3), np.empty(3), np.empty(3)
    for i in range(count):
        row = rows[i]
        if filled >= out.shape[0]:
            break
        kind = row[m.KIND]
        p1 = row[m.P1]
        # Every kind becomes a parallelogram, relative to the eye.
        for k in range(3):
            world_o[k] = row[m.A + k] - eye[k]
            world_u[k] = row[m.B + k]
            world_v[k] = row[m.C + k]
        if kind == m.STICK:
            for k in range(3):
                world_v[k] = row[m.B + k] - row[m.A + k]
            mx, my, mz = world_o[0], world_o[1], world_o[2]
            wx = my * world_v[2] - mz * world_v[1]
            wy = mz * world_v[0] - mx * world_v[2]
            wz = mx * world_v[1] - my * world_v[0]
            norm = math.sqrt(wx * wx + wy * wy + wz * wz)
            if norm < 1e-9:
                continue
            radius = row[m.C]
            scale = -radius / norm
            world_u[0], world_u[1], world_u[2] = 2 * wx * scale, 2 * wy * scale, 2 * wz * scale
            length = math.sqrt(world_v[0] ** 2 + world_v[1] ** 2 + world_v[2] ** 2)
            extend = radius / length if row[m.SHAPE] == m.CAPSULE and length > 0 else 0.0
            for k in range(3):
                world_o[k] -= 0.5 * world_u[k] + extend * world_v[k]
                world_v[k] *= 1 + 2 * extend
        elif kind == m.BALL:
            norm = math.hypot(world_o[0], world_o[2]) + 1e-9
            wx, wz = world_o[2] / norm, -world_o[0] / norm
            world_u[0], world_u[1], world_u[2] = 2 * row[m.B] * wx, 0.0, 2 * row[m.B] * wz
            world_v[0], world_v[1], world_v[2] = 0.0, 2 * row[m.B + 1], 0.0
            for k in range(3):
                world_o[k] -= 0.5 * (world_u[k] + world_v[k])
        for k in range(3):
            o[k] = u[k] = v[k] = 0.0
            for j in range(3):
                o[k] += rotation[k, j] * world_o[j]
                u[k] += rotation[k, j] * world_u[j]
                v[k] += rotation[k, j] * world_v[j]
        nx = u[1] * v[2] - u[2] * v[1]
        ny = u[2] * v[0] - u[0] * v[2]
        nz = u[0] * v[1] - u[1] * v[0]
        det = nx * o[0] + ny * o[1] + nz * o[2]
        if abs(det) < 1e-10 or row[m.ONE_SIDED] > 0 and det > 0:
            continue
        # Rows and columns it can touch, from its corners and where edges cross the near plane.
        low_x, low_y, high_x, high_y = 1e18, 1e18, -1e18, -1e18
        nearest = 1e18
        for corner in range(4):
            fu = 1.0 if corner in (1, 2) else 0.0
            fv = 1.0 if corner >= 2 else 0.0
            gu = 1.0 if corner <= 1 else 0.0
            gv = 1.0 if corner in (1, 2) else 0.0
            ax = o[0] + fu * u[0] + fv * v[0]
            ay = o[1] + fu * u[1] + fv * v[1]
            az = o[2] + fu * u[2] + fv * v[2]
            bz = o[2] + gu * u[2] + gv * v[2]
            nearest = min(nearest, az)
            if (az < NEAR_M) != (bz < NEAR_M):
                t = (NEAR_M - az) / (bz - az)
                bx = o[0] + gu * u[0] + gv * v[0]
                by = o[1] + gu * u[1] + gv * v[1]
                px = cx + focal * (ax + t * (bx - ax)) / NEAR_M
                py = cy + focal * (ay + t * (by - ay)) / NEAR_M
                low_x, high_x = min(low_x, px), max(high_x, px)
                low_y, high_y = min(low_y, py), max(high_y, py)
            if az >= NEAR_M:
                px = cx + focal * ax / az
                py = cy + focal * ay / az
                low_x, high_x = min(low_x, px), max(high_x, px)
                low_y, high_y = min(low_y, py), max(high_y, py)
        if high_x < 0 or low_x > width or high_y < 0 or low_y > height or nearest > FAR_M:
            continue
        first = max(0, int(math.floor(low_y)))
        last = min(height - 1, int(math.ceil(high_y)))
        if last < first:
            continue
        dst = out[filled]
        inv = 1.0 / det
        # Rows of [U V O]^-1 are (V x O, O x U, U x V) / det; then from rays to pixels.
        for r in range(3):
            if r == 0:
                ex = v[1] * o[2] - v[2] * o[1]
                ey = v[2] * o[0] - v[0] * o[2]
                ez = v[0] * o[1] - v[1] * o[0]
            elif r == 1:
                ex = o[1] * u[2] - o[2] * u[1]
                ey = o[2] * u[0] - o[0] * u[2]
                ez = o[0] * u[1] - o[1] * u[0]
            else:
                ex, ey, ez = nx, ny, nz
            dst[3 * r] = ex * inv / focal
            dst[3 * r + 1] = ey * inv / focal
            dst[3 * r + 2] = inv * (ez + (ex * (0.5 - cx) + ey * (0.5 - cy)) / focal)
        dst[OUT_Y0], dst[OUT_Y1] = first, last
        dst[OUT_SHAPE], dst[OUT_P0], dst[OUT_P1] = row[m.SHAPE], row[m.P0], p1
        dst[OUT_LABEL], dst[OUT_MATERIAL] = row[m.LABEL], row[m.MATERIAL]
        for k in range(4):
            dst[OUT_TEX + k] = row[m.TEX + k]
        lambert = 0.6
        if kind == m.PLANE:
            wx = world_u[1] * world_v[2] - world_u[2] * world_v[1]
            wy = world_u[2] * world_v[0] - world_u[0] * world_v[2]
            wz = world_u[0] * world_v[1] - world_u[1] * world_v[0]
            norm = math.sqrt(wx * wx + wy * wy + wz * wz) + 1e-12
            facing = wx * world_o[0] + wy * world_o[1] + wz * world_o[2]
            sign = -1.0 if facing > 0 else 1.0
            lambert = sign * (wx * sun[0] + wy * sun[1] + wz * sun[2]) / norm
            lambert = max(0.0, lambert)
        for k in range(3):
            light = ambient[k] + sunlight[k] * lambert
            if row[m.MATERIAL] == m.GLOW:
                light = 1.0
            dst[OUT_RGB + k] = row[m.RGB + k] * light
        dst[OUT_LAYER], dst[OUT_CONTRAST] = row[m.LAYER], row[m.CONTRAST]
        dst[OUT_E0], dst[OUT_E1] = row[m.E0], row[m.E1]
        filled += 1
    return filled


@partial(compiled, inline="always", error_model="numpy")
def _span(p: Array, y: int, width: int) -> tuple[int, int]:
    """First and last pixel of row y whose centre lies in the plane's parallelogram."""
    low, high = 0.0, width - 1.0
    for k in range(5):
        if k == 0:
            slope, base = p[0], p[1] * y + p[2]
        elif k == 1:
            slope, base = p[6] - p[0], (p[7] - p[1]) * y + p[8] - p[2]
        elif k == 2:
            slope, base = p[3], p[4] * y + p[5]
        elif k == 3:
            slope, base = p[6] - p[3], (p[7] - p[4]) * y + p[8] - p[5]
        else:
            slope, base = p[6], p[7] * y + p[8] - 1e-4
        if slope > 0:
            low = max(low, math.ceil(-base / slope))
        elif slope < 0:
            high = min(high, math.floor(-base / slope))
        elif base < 0:
            return 0, -1
    if high < low:
        return 0, -1
    return int(low), int(high)


@partial(compiled, error_model="numpy")
def _inside(shape: int, p0: float, p1: float, u: float, v: float, noise: Array) -> bool:
    if shape == m.ELLIPSE:
        x, y = 2 * u - 1, 2 * v - 1
        return x * x + y * y <= 1
    if shape == m.BLOB:
        x, y = 2 * u - 1, 2 * v - 1
        r2 = x * x + y * y
        if r2 > 1:
            return False
        size = noise.shape[0]
        i = int((0.9 * u + p0) * size) % size
        j = int((0.9 * v + 1.7 * p0) * size) % size
        edge: float = 0.55 + 0.45 * noise[j, i]
        return r2 < edge
    if shape == m.TAPER:
        return u >= p0 * v and u <= 1 - p1 * v
    if shape == m.BARS:
        if abs(v - 0.9) < 0.03 or abs(v - 0.12) < 0.03:
            return True
        bar = u * p0
        return bar - math.floor(bar) < p1
    if shape == m.RING:
        x, y = 2 * u - 1, 2 * v - 1
        r2 = x * x + y * y
        return r2 <= 1 and (r2 >= p0 or abs(x * y) < 0.02)
    # CAPSULE: p0 length over width, ends included after projection; p1 taper.
    along = v * (p0 + 1)
    x = 2 * u - 1
    radius = 1 - p1 * v
    if along < 0.5:
        y = 1 - 2 * along
    elif along > p0 + 0.5:
        y = 2 * (along - p0) - 1
    else:
        return abs(x) <= radius
    return x * x / (radius * radius) + y * y <= 1


@partial(compiled, error_model="numpy")
def draw(surfaces: Array, count: int, depth: Array, owner: Array, noise: Array) -> None:
    """Put the first ``count`` surfaces into the depth (1/z, float32) and owner (int32) buffers."""
    width = depth.shape[1]
    for i in range(count):
        p = surfaces[i]
        shape = int(p[OUT_SHAPE])
        for y in range(int(p[OUT_Y0]), int(p[OUT_Y1]) + 1):
            low, high = _span(p, y, width)
            for x in range(low, high + 1):
                c = p[6] * x + p[7] * y + p[8]
                if c <= depth[y, x]:
                    continue
                if shape != 0:
                    u = (p[0] * x + p[1] * y + p[2]) / c
                    v = (p[3] * x + p[4] * y + p[5]) / c
                    if not _inside(shape, p[OUT_P0], p[OUT_P1], u, v, noise):
                        continue
                depth[y, x] = c
                owner[y, x] = i


@partial(compiled, error_model="numpy")
def cast(
    shadows: Array,
    count: int,
    depth: Array,
    owner: Array,
    surfaces: Array,
    noise: Array,
    lit: Array,
) -> None:
    """Set ``lit`` to 0 where a shadow lies on visible ground (road, sidewalk, terrain)."""
    width = depth.shape[1]
    for i in range(count):
        p = shadows[i]
        shape = int(p[OUT_SHAPE])
        for y in range(int(p[OUT_Y0]), int(p[OUT_Y1]) + 1):
            low, high = _span(p, y, width)
            for x in range(low, high + 1):
                if owner[y, x] < 0:
                    continue
                label = surfaces[owner[y, x], OUT_LABEL]
                if label != m.L_ROAD and label != m.L_SIDEWALK and label != m.L_TERRAIN:
                    continue
                c = p[6] * x + p[7] * y + p[8]
                if abs(c - depth[y, x]) > 0.15 * c:
                    continue
                if shape != 0:
                    u = (p[0] * x + p[1] * y + p[2]) / c
                    v = (p[3] * x + p[4] * y + p[5]) / c
                    if not _inside(shape, p[OUT_P0], p[OUT_P1], u, v, noise):
                        continue
                lit[y, x] = 0
