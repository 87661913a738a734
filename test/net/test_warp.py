"""The one coordinate convention: source = position + motion, at pixel centres, border padding."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from twnet_ros.net import to_grid, warp, warp_cubic

BOTH = pytest.mark.parametrize("sample", [warp, warp_cubic])


def constant(motion, shape):
    """A motion that is (dx, dy) everywhere."""
    return torch.tensor(motion).reshape(1, 2, 1, 1).expand(shape[0], 2, *shape[2:])


def by_grid_sample(x, motion):
    """The same warp by torch's sampler, whose coordinates are normalised."""
    h, w = x.shape[2:]
    u = torch.arange(w) + motion[:, 0] + 0.5
    v = torch.arange(h)[:, None] + motion[:, 1] + 0.5
    grid = torch.stack([2 * u / w - 1, 2 * v / h - 1], -1)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_zero_motion_is_the_identity_bit_for_bit(sample, dtype, memory):
    x = torch.randn(2, 5, 37, 53).to(dtype).contiguous(memory_format=memory)
    out = sample(x, torch.zeros(2, 2, 37, 53))
    assert out.dtype == dtype
    assert torch.equal(out, x)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dx, dy", [(3, 0), (0, 2), (-4, 5), (7, -3), (-100, 100)])
def test_whole_pixel_motion_is_an_exact_copy(sample, dtype, dx, dy):
    x = torch.randn(2, 3, 11, 19).to(dtype)
    out = sample(x, constant((float(dx), float(dy)), x.shape))
    columns = (torch.arange(19) + dx).clamp(0, 18)
    rows = (torch.arange(11) + dy).clamp(0, 10)
    assert torch.equal(out, x[:, :, rows][:, :, :, columns])


@BOTH
def test_every_pixel_and_every_sample_has_its_own_motion(sample):
    x = torch.randn(3, 2, 8, 9)
    motion = torch.randint(-9, 10, (3, 2, 8, 9)).float()
    out = sample(x, motion)
    for n in range(3):
        for row in range(8):
            for column in range(9):
                dx, dy = motion[n, :, row, column].int().tolist()
                source = min(max(row + dy, 0), 7), min(max(column + dx, 0), 8)
                assert torch.equal(out[n, :, row, column], x[n, :, source[0], source[1]])


def test_the_source_is_the_position_plus_the_motion():
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 2, 5] = 1  # row 2, column 5
    motion = torch.zeros(1, 2, 8, 8)
    motion[0, :, 6, 1] = torch.tensor([4.0, -4.0])  # (dx, dy): right and up, to (5, 2)
    assert warp(x, motion)[0, 0, 6, 1] == 1


def test_half_a_pixel_is_the_mean_of_two():
    x = torch.tensor([[[[0.0, 10.0, 40.0]]]])
    out = warp(x, constant((0.5, 0.0), x.shape))
    assert out.flatten().tolist() == [5, 25, 40]


@settings(max_examples=60)
@given(
    height=st.integers(2, 12),
    width=st.integers(2, 12),
    reach=st.sampled_from([0.3, 2.0, 30.0]),
    seed=st.integers(0, 2**31),
)
def test_it_samples_as_grid_sample_does(height, width, reach, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, height, width, generator=generator)
    motion = reach * torch.randn(2, 2, height, width, generator=generator)
    expected = by_grid_sample(x.double(), motion.double())
    assert (warp(x, motion) - expected).abs().max() < 1e-5


@BOTH
def test_gradients_reach_the_feature(sample):
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    motion = torch.randn(1, 2, 5, 6)
    assert torch.autograd.gradcheck(lambda value: sample(value, motion), (x,))


def test_every_sampled_pixel_gets_its_share_of_the_gradient():
    x = torch.zeros(1, 1, 1, 4, requires_grad=True)
    warp(x, constant((1.0, 0.0), x.shape)).sum().backward()
    assert x.grad.flatten().tolist() == [0, 1, 1, 2]  # the border is sampled twice


def test_half_precision_moves_as_far_as_single():
    x = torch.arange(500.0).reshape(1, 1, 1, 500).clamp(max=256).to(torch.bfloat16)
    motion = constant((301.0, 0.0), x.shape)  # 301 and most positions are no bfloat16 numbers
    assert torch.equal(warp(x, motion)[..., :100], x[..., 301:401])
    assert torch.equal(warp(x, motion)[..., 199:], x[..., -1:].expand(1, 1, 1, 301))


@settings(max_examples=30)
@given(dx=st.floats(-2, 2), dy=st.floats(-2, 2), seed=st.integers(0, 2**31))
def test_the_cubic_is_exact_for_polynomials_of_second_degree(dx, dy, seed):
    """Which the bilinear sample is not: that is what makes it Catmull-Rom's."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(3, 3, generator=generator, dtype=torch.float64)

    def surface(u, v):
        return sum(a[i, j] * u**i * v**j for i in range(3) for j in range(3 - i))

    u, v = torch.arange(12.0)[None], torch.arange(12.0)[:, None]
    x = surface(u, v)[None, None]
    out = warp_cubic(x, constant((dx, dy), x.shape))[0, 0, 4:8, 4:8]  # away from the border
    assert torch.allclose(out, surface(u + dx, v + dy)[4:8, 4:8], atol=1e-3)


@pytest.mark.parametrize("dx", [0.1, 0.25, 0.5])
def test_the_cubic_lets_no_frequency_grow_and_keeps_what_the_bilinear_loses(dx):
    """There and back, a hundred times: the energy of a random feature that is not all noise."""
    x = torch.randn(1, 4, 16, 64, generator=torch.Generator().manual_seed(0))
    x = start = F.avg_pool2d(x, 3, 1, 1)
    left = {}
    for sample in (warp, warp_cubic):
        energy = [float(start.square().sum())]
        x = start
        for step in range(100):
            x = sample(x, constant((dx if step % 2 else -dx, 0.0), x.shape))
            energy.append(float(x.square().sum()))
        assert all(b <= a * 1.001 for a, b in zip(energy, energy[1:], strict=False))
        left[sample] = energy[-1] / energy[0]
    assert left[warp_cubic] > 1.5 * left[warp]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dx", [0.484375, 0.203125])
def test_the_cubic_keeps_levels_in_half_precision_however_often_it_is_taken(dtype, dx):
    """Rounded weights do not sum to one, in bfloat16 at the one dx and in float16 at the other."""
    x = start = torch.full((1, 1, 4, 300), 1.0, dtype=dtype)
    for _ in range(100):
        x = warp_cubic(x, constant((dx, dx), x.shape))
    assert torch.equal(x, start)


def catmull_rom(t):
    """The weights of the four pixels about a place, by the distance to each (Keys, a = -1/2)."""
    near = [1.5 * d**3 - 2.5 * d**2 + 1 for d in (t, 1 - t)]
    far = [-0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 for d in (1 + t, 2 - t)]
    return np.array([far[0], *near, far[1]])


def test_the_cubic_takes_sixteen_pixels_and_the_borders_beyond_it():
    rng = np.random.default_rng(0)
    picture, motion = rng.normal(size=(7, 9)), rng.uniform(-3, 3, (2, 7, 9)).astype(np.float32)
    padded = np.pad(picture, 2, mode="edge")
    expected = np.empty_like(picture)
    for row, column in np.ndindex(7, 9):
        x = np.clip(column + motion[0, row, column], 0, 8)
        y = np.clip(row + motion[1, row, column], 0, 6)
        left, top = int(x), int(y)
        taps = padded[top + 1 : top + 5, left + 1 : left + 5]
        expected[row, column] = catmull_rom(y - top) @ taps @ catmull_rom(x - left)
    out = warp_cubic(torch.from_numpy(picture)[None, None], torch.from_numpy(motion)[None])
    np.testing.assert_allclose(out[0, 0].numpy(), expected, atol=1e-5)


@BOTH
def test_positions_beyond_the_border_take_its_value(sample):
    x = torch.randn(1, 2, 5, 7)
    out = sample(x, constant((-100.25, 100.25), x.shape))
    assert torch.equal(out, x[:, :, -1:, :1].expand_as(x))


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_the_grid_moves_by_the_mean_in_its_own_pixels(stride):
    motion = torch.randn(2, 2, 2 * stride, 3 * stride)
    grid = to_grid(motion, stride)
    assert grid.shape == (2, 2, 2, 3)
    for row in range(2):
        for column in range(3):
            rows = slice(row * stride, (row + 1) * stride)
            columns = slice(column * stride, (column + 1) * stride)
            expected = motion[:, :, rows, columns].double().mean((2, 3)) / stride
            assert torch.allclose(grid[:, :, row, column].double(), expected, atol=1e-6)


def test_motion_of_a_stride_moves_the_feature_by_one_pixel_exactly():
    x = torch.randn(1, 4, 4, 6)
    motion = constant((16.0, -16.0), (1, 2, 64, 96))
    expected = x[:, :, [0, 0, 1, 2]][:, :, :, [1, 2, 3, 4, 5, 5]]
    assert torch.equal(warp(x, to_grid(motion, 16)), expected)
