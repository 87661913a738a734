"""What colour a pixel has: textures, markings, windows, sky, haze and light, in numba."""

import math
from functools import partial

import numpy as np

from twnet_ros.learn.streets import mesh as m
from twnet_ros.learn.streets import raster as r
from twnet_ros.learn.streets import texture as t
from twnet_ros.learn.streets.array import Array
from twnet_ros.segment.compiled import compiled

_STRIDE = int(t.LAYER_TEXELS)


@partial(compiled, inline="always", error_model="numpy")
def _texel(
    stack: Array, layer: int, u_m: float, v_m: float, footprint_m: float, offsets: Array
) -> float:
    """Bilinear sample at the mip level of the footprint, about -3..3."""
    fp = footprint_m * t.TEXELS_PER_M
    level = 0
    while fp > 1.4 and level < t.LEVELS - 1:
        fp *= 0.5
        level += 1
    size = t.SIZE >> level
    scale = t.TEXELS_PER_M / (1 << level)
    x = u_m * scale - 0.5
    y = v_m * scale - 0.5
    fx, fy = math.floor(x), math.floor(y)
    dx, dy = x - fx, y - fy
    mask = size - 1
    x0, y0 = int(fx) & mask, int(fy) & mask
    x1, y1 = (x0 + 1) & mask, (y0 + 1) & mask
    base = layer * _STRIDE + offsets[level]
    row0, row1 = base + y0 * size, base + y1 * size
    top: float = stack[row0 + x0] * (1 - dx) + stack[row0 + x1] * dx
    low: float = stack[row1 + x0] * (1 - dx) + stack[row1 + x1] * dx
    return (top * (1 - dy) + low * dy - 128.0) * (1.0 / 43.0)


@partial(compiled, inline="always", error_model="numpy")
def _band(distance: float, half: float, fp: float) -> float:
    """Share of a footprint that lies within ``half`` of a line ``distance`` away."""
    high = min(half, distance + 0.5 * fp)
    low = max(-half, distance - 0.5 * fp)
    return max(0.0, high - low) / fp


@partial(compiled, inline="always", error_model="numpy")
def _hash(a: float, b: float, c: float) -> float:
    h = math.sin(a * 12.9898 + b * 78.233 + c * 37.719) * 43758.5453
    return h - math.floor(h)


@partial(compiled, inline="always", error_model="numpy")
def _stripe(s: float, period: float, filled: float, fp: float) -> float:
    """Antialiased share of a periodic stripe of length ``filled``."""
    phase = s - math.floor(s / period) * period
    d = min(abs(phase - 0.5 * filled), abs(phase - 0.5 * filled - period))
    if fp > period:
        return filled / period
    return _band(d, 0.5 * filled, max(fp, 1e-4))


@partial(compiled, error_model="numpy", fastmath=True)
def shade(
    surfaces: Array,
    depth: Array,
    owner: Array,
    lit: Array,
    stack: Array,
    offsets: Array,
    ray: Array,
    sky: Array,
    light: Array,
    marks: Array,
    skyline: Array,
    image: Array,
    labels: Array,
) -> None:
    """Fill image (H, W, 3) uint8 and labels (H, W) uint8.

    ray: 3x3 from (x px, y px, 1) to the world's viewing direction. sky: rows of colour: zenith,
    horizon, cloud, ground haze, glass reflection, (cloud cover, cloud sharpness, drift m).
    light: (exposure, haze per m, shade in shadow, light on markings). marks: rows of (t m, half
    width m, dash m or 0, period m, r, g, b). skyline: (n, 2) tangent of elevation and label, by
    azimuth.
    """
    height, width = depth.shape
    exposure, haze, shadow = light[0] * 255.0, light[1], light[2]
    bins = skyline.shape[0]
    for y in range(height):
        for x in range(width):
            index = owner[y, x]
            if index < 0:
                dx = ray[0, 0] * x + ray[0, 1] * y + ray[0, 2]
                dy = ray[1, 0] * x + ray[1, 1] * y + ray[1, 2]
                dz = ray[2, 0] * x + ray[2, 1] * y + ray[2, 2]
                level = math.hypot(dx, dz)
                tangent = dy / level
                label = m.L_SKY
                if tangent < 0:
                    label = m.L_TERRAIN
                elif tangent < 0.16:
                    azimuth = math.atan2(dx, dz) * (bins / (2 * math.pi))
                    k = int(math.floor(azimuth)) % bins
                    if tangent < skyline[k, 0]:
                        label = int(skyline[k, 1])
                labels[y, x] = label
                if label == m.L_SKY:
                    up = min(1.0, tangent * 1.6)
                    cloud = 0.0
                    if tangent > 0.012:
                        reach = 9.0 / (tangent + 0.05)
                        n = _texel(
                            stack,
                            t.CLOUD,
                            dx / level * reach * 0.11 + sky[5, 2],
                            dz / level * reach * 0.11,
                            0.02 + 0.003 * reach / 20,
                            offsets,
                        )
                        cloud = min(1.0, max(0.0, (n + sky[5, 0]) * sky[5, 1]))
                        cloud *= min(1.0, tangent * 12)
                    for c in range(3):
                        value = sky[1, c] + (sky[0, c] - sky[1, c]) * math.sqrt(up)
                        value += (sky[2, c] - value) * cloud
                        image[y, x, c] = int(min(255.0, max(0.0, value * exposure)))
                else:
                    tone = 0.62 if label == m.L_BUILDING else 0.5
                    for c in range(3):
                        green = 1.12 if label != m.L_BUILDING and c == 1 else 1.0
                        value = sky[3, c] * (tone * green * 0.5 + 0.36)
                        image[y, x, c] = int(min(255.0, max(0.0, value * exposure)))
                continue
            p = surfaces[index]
            inv = 1.0 / (p[6] * x + p[7] * y + p[8])
            u = (p[0] * x + p[1] * y + p[2]) * inv
            v = (p[3] * x + p[4] * y + p[5]) * inv
            su, sv = p[r.OUT_TEX + 2], p[r.OUT_TEX + 3]
            # Metres of surface under one pixel, along x and along y.
            ux = abs(p[0] - u * p[6]) * inv * su
            uy = abs(p[1] - u * p[7]) * inv * su
            vx = abs(p[3] - v * p[6]) * inv * sv
            vy = abs(p[4] - v * p[7]) * inv * sv
            fp = 0.5 * (ux + uy + vx + vy)
            um = p[r.OUT_TEX] + u * su
            vm = p[r.OUT_TEX + 1] + v * sv
            material = int(p[r.OUT_MATERIAL])
            labels[y, x] = int(p[r.OUT_LABEL])
            red, green, blue = p[r.OUT_RGB], p[r.OUT_RGB + 1], p[r.OUT_RGB + 2]
            gain = 1.0
            contrast = p[r.OUT_CONTRAST]
            if contrast > 0:
                layer = int(p[r.OUT_LAYER])
                gain += contrast * _texel(stack, layer, um, vm, fp, offsets)
            if material == m.ROAD or material == m.FACADE or material == m.ZEBRA:
                wear = _texel(stack, t.CLOUD, um * 0.13, vm * 0.13, fp * 0.13, offsets)
                gain += 0.09 * wear
            if material == m.ROAD:
                fu, fv = max(ux + uy, 1e-4), max(vx + vy, 1e-4)
                for k in range(marks.shape[0]):
                    d = abs(vm - marks[k, 0])
                    if d > marks[k, 1] + fv:
                        continue
                    paint = _band(d, marks[k, 1], fv) * 0.9
                    if marks[k, 2] > 0:
                        paint *= _stripe(um, marks[k, 3], marks[k, 2], fu)
                    paint *= min(1.0, max(0.3, 0.75 + 0.3 * gain - 0.2))
                    level = marks[k, 4] * light[3]
                    red += paint * (level - red)
                    green += paint * (marks[k, 5] * light[3] - green)
                    blue += paint * (marks[k, 6] * light[3] - blue)
            elif material == m.ZEBRA:
                paint = 0.85 * _stripe(vm, 1.0, 0.5, max(vx + vy, 1e-4))
                red += paint * (0.85 * light[3] - red)
                green += paint * (0.85 * light[3] - green)
                blue += paint * (0.83 * light[3] - blue)
            elif material == m.FACADE:
                cell_w, seed = p[r.OUT_E0], p[r.OUT_E1]
                cell_h = 3.1
                first = 3.6
                style = seed - math.floor(seed)
                if vm < first:
                    floor, rise, tall = 0.0, vm, first
                else:
                    floor = 1.0 + math.floor((vm - first) / cell_h)
                    rise = vm - first - (floor - 1.0) * cell_h
                    tall = cell_h
                column = math.floor(um / cell_w)
                across = um - column * cell_w
                shop = floor == 0.0 and style > 0.45
                half_w = cell_w * (0.42 if shop else 0.2 + 0.2 * style)
                half_h = tall * (0.36 if shop else 0.25 + 0.08 * style)
                centre_v = tall * (0.45 if shop else 0.55)
                fu, fv = max(ux + uy, 1e-4), max(vx + vy, 1e-4)
                du, dv = abs(across - 0.5 * cell_w), abs(rise - centre_v)
                frame = _band(du, half_w + 0.09, fu) * _band(dv, half_h + 0.09, fv)
                if frame > 0:
                    trim = 1.25 if style > 0.3 else 0.7
                    red += frame * red * (trim - 1)
                    green += frame * green * (trim - 1)
                    blue += frame * blue * (trim - 1)
                    pane = _band(du, half_w, fu) * _band(dv, half_h, fv)
                    if not shop:
                        pane *= 1 - 0.8 * _band(du, 0.04, fu)
                    tone = _hash(column, floor, seed)
                    glass = 0.25 + 0.5 * tone + 0.35 * (rise - centre_v) / tall
                    warm = 0.35 if tone > 0.9 else 0.0
                    red += pane * (sky[4, 0] * glass + warm - red)
                    green += pane * (sky[4, 1] * glass + 0.8 * warm - green)
                    blue += pane * (sky[4, 2] * glass + 0.45 * warm - blue)
                    if pane > 0.5:
                        gain = 1 + 0.3 * (gain - 1)
                if floor == 0.0 and rise > 3.35:
                    gain *= 0.8
            elif material == m.ROUND:
                side = 2 * u - 1
                gain *= (
                    0.72 + 0.38 * math.sqrt(max(0.0, 1 - side * side)) + 0.18 * side * sky[5, 3]
                )
            elif material == m.LEAF:
                gain *= 0.55 + 0.6 * v + 0.2 * (2 * u - 1) * sky[5, 3]
            elif material == m.GLASS:
                tilt = 0.35 + 0.55 * v + 0.12 * math.sin(um * 2.1 + 3 * v)
                red, green, blue = sky[4, 0] * tilt, sky[4, 1] * tilt, sky[4, 2] * tilt
            if lit[y, x] == 0:
                gain *= shadow
            far = haze * inv
            far = far / (1 + far)
            red = red * gain
            green = green * gain
            blue = blue * gain
            red += far * (sky[3, 0] - red)
            green += far * (sky[3, 1] - green)
            blue += far * (sky[3, 2] - blue)
            image[y, x, 0] = int(min(255.0, max(0.0, red * exposure)))
            image[y, x, 1] = int(min(255.0, max(0.0, green * exposure)))
            image[y, x, 2] = int(min(255.0, max(0.0, blue * exposure)))


@compiled
def add_grain(image: Array, grain: Array, shift_y: int, shift_x: int) -> None:
    """Add the sensor's noise in place.

    image: (H, 3 W) uint8. grain: (n, >= 3 W + shift_x) int8, periodic in its rows.
    """
    for y in range(image.shape[0]):
        noise = grain[(y + shift_y) % grain.shape[0], shift_x : shift_x + image.shape[1]]
        row = image[y]
        for x in range(image.shape[1]):
            row[x] = min(255, max(0, np.int16(row[x]) + np.int16(noise[x])))
