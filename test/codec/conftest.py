"""Clips and reference decoders for the codec's tests."""

import av
import numpy as np
import pytest

from twnet_ros.codec import ClipEncoder


@pytest.fixture
def pan():
    """Make RGB frames of a camera that pans over a smooth texture by (dx, dy) px a frame."""

    def make(count, *, width=176, height=144, dx=4, dy=0, seed=0):
        rng = np.random.default_rng(seed)
        margin = 64
        shape = (height + 2 * margin, width + 2 * margin)
        world = rng.integers(0, 256, (shape[0] // 4, shape[1] // 4, 3)).astype(np.float32)
        world = world.repeat(4, axis=0).repeat(4, axis=1)
        for axis in (0, 1):  # a box blur, so that sub-pel positions are meaningful
            world = sum(np.roll(world, k, axis) for k in range(4)) / 4
        world = world.astype(np.uint8)
        return [
            world[margin + i * dy :, margin + i * dx :][:height, :width].copy()
            for i in range(count)
        ]

    return make


@pytest.fixture
def encode():
    """Encode RGB frames to packets."""

    def run(codec, frames, **settings):
        height, width = frames[0].shape[:2]
        encoder = ClipEncoder(codec, width, height, **settings)
        packets = [packet for frame in frames for packet in encoder.encode(frame)]
        return packets + encoder.flush()

    return run


@pytest.fixture
def raw_decode():
    """Decode packets with PyAV alone, vectors exported."""

    def run(codec, packets):
        context = av.CodecContext.create(codec, "r")
        context.options = {"flags2": "+export_mvs"}
        context.thread_count = 1
        pictures = []
        for data in packets:
            packet = av.Packet(len(data))
            packet.update(data)
            pictures += context.decode(packet)
        return pictures + context.decode(None)

    return run
