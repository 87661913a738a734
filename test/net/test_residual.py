"""The residual: what the codec's motion leaves unexplained."""

import numpy as np
import pytest
import torch

from twnet_ros.codec import ClipEncoder, StreamDecoder, read_packets
from twnet_ros.net import residual, residual_magnitude


def bilinear(picture, x, y):
    """One sample at (x, y), the border's value outside."""
    height, width = picture.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = int(np.floor(x)), int(np.floor(y))
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    a, b = x - left, y - top
    upper = (1 - a) * picture[top, left] + a * picture[top, right]
    lower = (1 - a) * picture[bottom, left] + a * picture[bottom, right]
    return (1 - b) * upper + b * lower


def luma(frame):
    return torch.from_numpy(frame.y.astype(np.float32))[None, None]


def motion_of(frame):
    return torch.from_numpy(frame.motion.dense(frame.height, frame.width)).permute(2, 0, 1)[None]


def test_it_is_the_definition_pixel_by_pixel():
    rng = np.random.default_rng(0)
    current, previous = rng.uniform(0, 255, (2, 3, 7, 9)).astype(np.float32)
    motion = rng.normal(0, 3, (2, 7, 9)).astype(np.float32)
    got = residual(*(torch.from_numpy(part)[None] for part in (current, previous, motion)))
    for c in range(3):
        for row in range(7):
            for column in range(9):
                source = (
                    column + float(motion[0, row, column]),
                    row + float(motion[1, row, column]),
                )
                expected = current[c, row, column] - bilinear(previous[c].astype(float), *source)
                assert float(got[0, c, row, column]) == pytest.approx(expected, abs=1e-3)


def test_it_is_signed():
    dark, bright = torch.full((1, 3, 4, 4), 10.0), torch.full((1, 3, 4, 4), 250.0)
    still = torch.zeros(1, 2, 4, 4)
    assert torch.equal(residual(bright, dark, still), torch.full((1, 3, 4, 4), 240.0))
    assert torch.equal(residual(dark, bright, still), torch.full((1, 3, 4, 4), -240.0))


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_its_magnitude_on_a_grid_is_the_mean_over_each_pixel_whatever_the_sign(stride):
    error = 9 * torch.randn(2, 3, 2 * stride, 3 * stride)
    found = residual_magnitude(error, stride)
    assert found.shape == (2, 3, 2, 3)
    assert torch.equal(residual_magnitude(-error, stride), found)
    for row in range(2):
        for column in range(3):
            rows = slice(row * stride, (row + 1) * stride)
            columns = slice(column * stride, (column + 1) * stride)
            expected = error[:, :, rows, columns].double().abs().mean((2, 3))
            assert torch.allclose(found[:, :, row, column].double(), expected, atol=1e-5)


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_unchanged_blocks_of_a_static_clip_give_exactly_zero(codec):
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)
    rgb = np.kron(small, np.ones((8, 8, 1), np.uint8))  # 96 x 64
    encoder, decoder = ClipEncoder(codec, 96, 64, gop=12), StreamDecoder(codec)
    frames = [f for _ in range(8) for p in encoder.encode(rgb) for f in decoder.decode(p.data)]
    unchanged = 0
    for before, frame in zip(frames, frames[1:], strict=False):
        same = (frame.y == before.y).reshape(8, 8, 12, 8).all((1, 3))
        error = residual(luma(frame), luma(before), motion_of(frame))[0, 0].numpy()
        worst = np.abs(error).reshape(8, 8, 12, 8).max((1, 3))
        still = same & (frame.motion.displacement == 0).all(-1)
        assert (worst[still] == 0).all()
        unchanged += int(still.sum())
    assert unchanged > 0.5 * 7 * 96  # most blocks of such a clip are skipped


def test_the_vectors_of_a_real_drive_explain_its_motion(drive):
    info, packets = read_packets(drive("street_2048x1024_mpeg4_gop12.avi"))
    decoder = StreamDecoder(info.codec)
    variants = {"vectors": 1.0, "zero": 0.0, "opposite": -1.0, "half": 0.5}
    errors = {name: [] for name in variants}
    previous = None
    for packet in packets:
        (frame,) = decoder.decode(packet.data)
        picture = luma(frame)
        if frame.motion is not None:
            for name, scale in variants.items():
                found = residual(picture, previous, scale * motion_of(frame))
                errors[name].append(float(found.abs().mean()))
        previous = picture
        if len(errors["zero"]) == 4:
            break
    packets.close()
    mean = {name: np.mean(values) for name, values in errors.items()}
    assert mean["vectors"] <= 0.6 * mean["zero"]
    assert mean["opposite"] > mean["vectors"]
    assert mean["half"] > mean["vectors"]
