"""A drive through one street: where the camera and the traffic are in each frame."""

import math
from collections import OrderedDict

import cv2
import numpy as np

from twnet_ros.learn.streets import raster, texture
from twnet_ros.learn.streets.array import Array
from twnet_ros.learn.streets.block import Block
from twnet_ros.learn.streets.mesh import L_BUILDING, L_VEGETATION
from twnet_ros.learn.streets.shade import add_grain, shade
from twnet_ros.learn.streets.site import ZEBRA
from twnet_ros.learn.streets.style import BLOCK_M, make_style
from twnet_ros.learn.streets.traffic import Traffic
from twnet_ros.segment.palette import UNLABELLED

FPS = 17.0
_AHEAD = 6  # blocks that are built ahead of the camera
_CACHED = 24
_HOLD_S = 4.5  # how long the car waits at a junction
_RAMP_S = 3.0  # braking and starting


def _projected(groups: list[Array], view: tuple[Array, ...]) -> tuple[Array, int]:
    """All rows as surfaces of one view, and how many of them there are."""
    surfaces, filled = np.empty((sum(map(len, groups)), raster.OUT_COLUMNS)), 0
    for rows in groups:
        filled = raster.project(rows, len(rows), surfaces, filled, *view)
    return surfaces, filled


class Street:
    """An endless street of one seed, seen at one size.

    ``frame(index)`` depends on (seed, size, index) only; the world on the seed only. The focal
    length is proportional to the width, 17 frames are a second.
    """

    def __init__(self, seed: int, width: int = 1024, height: int = 512) -> None:
        if not isinstance(seed, int | np.integer) or seed < 0:
            raise ValueError(f"seed: expected an integer >= 0, got {seed!r}")
        for name, value in (("width", width), ("height", height)):
            if not isinstance(value, int | np.integer) or not 16 <= value <= 8192:
                raise ValueError(f"{name}: expected an integer in 16..8192, got {value!r}")
        self.seed, self.width, self.height = int(seed), int(width), int(height)
        self._style = make_style(self.seed)
        self._blocks: OrderedDict[int, Block] = OrderedDict()
        rng = np.random.default_rng((self.seed, 3))
        self._phases = rng.uniform(0, 2 * math.pi, 12)
        self._start_s = rng.uniform(40, 640)
        self._lead = rng.uniform(1.6, 4.0) if rng.random() < 0.6 else 0.0
        grain = np.clip(np.rint(rng.normal(0, self._style.grain, (256, 768))), -8, 8)
        self._grain = np.tile(grain.astype(np.int8), (1, 1 + math.ceil(self.width / 256)))
        self._stack = texture.texture_stack()
        noise = texture.fractal_noise(np.random.default_rng(4), 1.1)
        self._noise = np.clip(0.5 + 0.3 * noise[::2, ::2], 0, 1)
        self._marks = self._markings()
        self._skyline = self._far_skyline(rng)

    # The ego car

    def _travel(self, seconds: float) -> float:
        """Way from the start: from junction to junction with a halt at each."""
        way = self._style.junction * BLOCK_M
        cruise = way / self._style.pace
        cycle = cruise + _RAMP_S + _HOLD_S
        number = math.floor(seconds / cycle)
        t = seconds - number * cycle
        driving = cruise + _RAMP_S
        speed = way / cruise
        if t < _RAMP_S:
            part = speed * t * t / (2 * _RAMP_S)
        elif t < driving - _RAMP_S:
            part = speed * (t - _RAMP_S / 2)
        elif t < driving:
            part = way - speed * (driving - t) ** 2 / (2 * _RAMP_S)
        else:
            part = way
        return number * way + part

    def _halt(self, seconds: float) -> float:
        """Seconds since the middle of the nearest halt."""
        cycle = self._style.junction * BLOCK_M / self._style.pace + _RAMP_S + _HOLD_S
        t = seconds % cycle
        middle = cycle - _HOLD_S / 2
        return t - middle if t > cycle / 2 else t + cycle - middle

    def _ego_s(self, seconds: float) -> float:
        """Position along the street; halts lie before a junction's crossing."""
        stop = ZEBRA - 4.5 - (9.0 if self._lead > 0 else 0.0)
        return self._travel(seconds) + stop

    def _eye(self, seconds: float) -> tuple[Array, Array, float]:
        """Camera position, rotation (world to x right, y down, z ahead) and position along."""
        st, p = self._style, self._phases
        s = self._ego_s(seconds)
        speed = min(
            1.0, (self._ego_s(seconds + 0.3) - self._ego_s(seconds - 0.3)) / (0.6 * st.pace)
        )
        t = (
            st.lane_centre(st.own_lane)
            + 0.3 * math.sin(s / 31 + p[0])
            + 0.12 * math.sin(s / 11 + p[1])
        )
        drift = math.atan(0.3 / 31 * math.cos(s / 31 + p[0]))
        yaw = st.curve.heading(s) + 0.7 * drift + 0.012 * math.sin(s / 23 + p[2])
        bounce = 0.0022 * math.sin(9.1 * seconds + p[3]) + 0.0016 * math.sin(5.3 * seconds + p[4])
        brake = (
            -0.004 * (self._ego_s(seconds + 0.4) - 2 * s + self._ego_s(seconds - 0.4)) / 0.16 / 3
        )
        pitch = st.curve.slope(s) - speed * bounce - brake
        roll = 0.004 * math.sin(s / 17 + p[5]) + speed * 0.0015 * math.sin(6.7 * seconds + p[6])
        eye = np.array(
            [
                st.curve.x(s) + t,
                st.curve.y(s) + st.eye + speed * 0.01 * math.sin(8.3 * seconds + p[3]),
                s,
            ]
        )
        ahead = np.array(
            [math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)]
        )
        right = np.array([math.cos(yaw), 0.0, -math.sin(yaw)])
        down = -np.cross(ahead, right)
        right, down = (
            math.cos(roll) * right + math.sin(roll) * down,
            math.cos(roll) * down - math.sin(roll) * right,
        )
        return eye, np.stack([right, down, ahead]), s

    # The picture

    def _markings(self) -> Array:
        st = self._style
        marks = []
        white, yellow = (0.85, 0.85, 0.83), (0.85, 0.65, 0.2)
        for side in (-1.0, 1.0):
            if st.tracks:
                marks.append((side * st.median, 0.07, 0.0, 1.0, *white))
                for rail in (0.78, 2.22):
                    marks.append((side * rail, 0.05, 0.0, 1.0, 0.3, 0.3, 0.32))
            for lane in range(1, st.lanes):
                marks.append((side * (st.median + lane * st.lane), 0.07, 3.0, 9.0, *white))
            edge = st.median + st.lanes * st.lane
            if st.parking > 0:
                marks.append((side * edge, 0.06, 0.0 if st.lanes > 1 else 1.0, 2.0, *white))
            else:
                marks.append((side * (edge - 0.25), 0.06, 0.0, 1.0, *white))
        if not st.tracks:
            paint = yellow if self._phases[7] < 2 else white
            dash = 0.0 if self._phases[8] < 1.5 else 3.0
            marks.append((0.0, 0.08, dash, 8.0, *paint))
        return np.array(marks)

    @staticmethod
    def _far_skyline(rng: np.random.Generator) -> Array:
        """(720, 2): tangent of the elevation and label of what lies beyond the last block."""
        table = np.empty((720, 2))
        at = 0
        while at < 720:
            width = int(rng.integers(2, 9))
            table[at : at + width] = rng.uniform(0.02, 0.11), L_BUILDING
            if rng.random() < 0.4:
                table[at : at + width] = rng.uniform(0.02, 0.06), L_VEGETATION
            at += width
        return table

    def _block(self, number: int) -> Block:
        block = self._blocks.get(number)
        if block is None:
            block = self._blocks[number] = Block(self._style, self.seed, number)
            if len(self._blocks) > _CACHED:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return block

    def _seconds(self, index: int) -> float:
        if isinstance(index, bool) or not isinstance(index, int | np.integer) or index < 0:
            raise ValueError(f"frame index: expected an integer >= 0, got {index!r}")
        return self._start_s + int(index) / FPS

    def position(self, index: int) -> float:
        """Where the camera is at a frame, in m along the street."""
        return self._ego_s(self._seconds(index))

    def _scene(self, seconds: float, s: float) -> tuple[list[Array], list[Array]]:
        """Rows of all that stands or moves near ``s``, and of all shadows on the ground."""
        traffic = Traffic(self._style, self.seed, seconds, self._halt(seconds), s)
        if self._lead > 0:
            traffic.lead(self._ego_s(seconds + self._lead) + 7.0)
        here = math.floor((s - 4.0) / BLOCK_M)
        blocks = [self._block(number) for number in range(here, here + _AHEAD)]
        standing = [traffic.rows[: traffic.count], *(block.rows for block in blocks)]
        return standing, [traffic.shadows(), *(block.shadows for block in blocks)]

    def frame(self, index: int) -> tuple[Array, Array]:
        """Picture (H, W, 3) uint8 RGB and exact labels (H, W) uint8, Cityscapes train ids."""
        st, seconds = self._style, self._seconds(index)
        eye, rotation, s = self._eye(seconds)
        width, height = self.width, self.height
        focal, cx, cy = st.focal * width, width / 2, st.horizon * height
        camera = np.array([focal, cx, cy, width, height])
        standing, lying = self._scene(seconds, s)
        view = (eye, rotation, camera, st.sun, st.sunlight, st.ambient)
        surfaces, filled = _projected(standing, view)
        shadows, casts = _projected(lying, view)
        depth = np.zeros((height, width), np.float32)
        owner = np.full((height, width), -1, np.int32)
        raster.draw(surfaces, filled, depth, owner, self._noise)
        lit = np.ones((height, width), np.uint8)
        raster.cast(shadows, casts, depth, owner, surfaces, self._noise, lit)
        pixel = np.array(
            [[1 / focal, 0, (0.5 - cx) / focal], [0, 1 / focal, (0.5 - cy) / focal], [0, 0, 1]]
        )
        image = np.empty((height, width, 3), np.uint8)
        labels = np.empty((height, width), np.uint8)
        p = self._phases
        exposure = (
            1.0 + 0.05 * math.sin(seconds / 7 + p[9]) + 0.03 * math.sin(seconds / 2.3 + p[10])
        )
        ground = float(np.mean(st.ambient + st.sunlight * st.sun[1]))
        light = np.array([exposure, st.haze, st.shadow, ground])
        sky = st.sky.copy()
        sky[5, 2] = 0.004 * seconds
        shade(
            surfaces,
            depth,
            owner,
            lit,
            self._stack,
            texture.LEVEL_OFFSETS,
            rotation.T @ pixel,
            sky,
            light,
            self._marks,
            self._skyline,
            image,
            labels,
        )
        if st.bonnet > 0:
            self._draw_bonnet(image, labels)
        cv2.GaussianBlur(image, (3, 3), 0.55, dst=image)  # the lens
        shift = np.random.default_rng((self.seed, 8, int(index))).integers(0, 256, 2)
        add_grain(image.reshape(height, -1), self._grain, int(shift[0]), 3 * int(shift[1]))
        return image, labels

    def _draw_bonnet(self, image: Array, labels: Array) -> None:
        """Our own car at the lower edge, unlabelled."""
        width, height = self.width, self.height
        x = (np.arange(width) + 0.5) / width * 2 - 1
        top = height * (1 - self._style.bonnet * (1 - 0.55 * x**4))
        rows = np.arange(int(height * (1 - self._style.bonnet)), height)
        mask = (rows[:, None] + 0.5) >= top[None, :]
        shine = ((rows[:, None] + 0.5 - top) / height * 5).clip(0, 0.6)[..., None]
        view = image[rows[0] :]
        tone = 255 * self._style.sky[1, :3] * (0.45 - 0.5 * shine)
        view[mask] = np.broadcast_to(tone, view.shape)[mask].clip(0, 255)
        labels[rows[0] :][mask] = UNLABELLED
