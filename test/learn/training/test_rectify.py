"""The least-squares start of the correction."""

from itertools import islice

import pytest
import torch

from twnet_ros.learn.training.rectify import NormalEquations, fit_rectification
from twnet_ros.learn.training.rollout import Lanes, Rollout
from twnet_ros.net import FeatureState

LONG = Rollout(frames=4, shortest=40, longest=40)


@pytest.fixture
def stretches(source, network):
    """Walk along clips of 40 frames, four frames a stretch."""

    def make(seed):
        return iter(Lanes(source, network(), LONG, 2, (0, seed)))

    return make


@pytest.fixture
def unfitted(stretches, network):
    """Make a random network whose batch norms have seen the clips, so contexts are about one."""
    images = torch.cat([s.image.flatten(0, 1) for s in islice(stretches(9), 2)])

    def make(correction="rga"):
        model = network(correction=correction)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        model.train().key(images)
        model.copy_key_parts()
        return model.eval()

    return make


@pytest.fixture
def fitted(stretches, unfitted):
    """Return such a network with its correction fitted."""
    torch.manual_seed(0)
    model = unfitted()
    fit_rectification(model, stretches(0), 32)
    return model


@torch.no_grad()
def walk(model, stretches, start=1.0):
    """Follow a clip from its key frame's context, scaled; return the errors and the sizes."""
    errors, sizes, state = [], [], None
    for stretch in islice(stretches, 10):
        state = state or FeatureState(start * model.key(stretch.key)[1].context, 0)
        for t in range(LONG.frames):
            image, motion, error = stretch.frame(t, "cpu")
            _, state = model.nonkey(image, motion, error, state)
            target = model.key(image)[1].context
            errors.append(float((state.context - target).square().mean().sqrt()))
            sizes.append(float(state.context.square().mean().sqrt()))
    return errors, sizes


def test_only_the_correction_changes(fitted, unfitted):
    before = unfitted().state_dict()
    for name, tensor in fitted.state_dict().items():
        assert torch.equal(tensor, before[name]) != name.startswith("cfr."), name


def test_fitted_contexts_come_closer_than_warped_ones(fitted, unfitted, stretches):
    errors, _ = walk(fitted, stretches(0))
    warped, _ = walk(unfitted(), stretches(0))
    assert sum(errors[-8:]) < 0.9 * sum(warped[-8:])


def test_without_attention_the_correction_is_as_slow_as_attention_begins(
    fitted, unfitted, stretches
):
    torch.manual_seed(0)
    alone = unfitted("cfr")
    fit_rectification(alone, stretches(0), 32)
    errors, sizes = walk(alone, stretches(1))
    expected_errors, expected_sizes = walk(fitted, stretches(1))
    assert errors == pytest.approx(expected_errors, rel=1e-2)
    assert sizes == pytest.approx(expected_sizes, rel=1e-2)
    assert 0 < alone.cfr.predict.weight.abs().max() < fitted.cfr.predict.weight.abs().max() / 4


def test_it_takes_back_what_disturbs_the_state(fitted, stretches):
    """Contexts five times too large come down, by a twentieth a frame, for forty frames."""
    _, usual = walk(fitted, stretches(1))
    _, sizes = walk(fitted, stretches(1), start=5.0)
    assert max(sizes) < 5 * usual[0]
    assert abs(sizes[-1] - usual[-1]) < 0.3 * 4 * usual[0]
    assert max(usual) < 2 * usual[0]


@pytest.fixture
def problem():
    """Make features of two channels and what a known convolution says is missing."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    planted = torch.nn.Conv2d(4, 2, 3, padding=1).requires_grad_(False)
    planted.weight.copy_(0.2 * draw(2, 4, 3, 3))
    planted.bias.copy_(draw(2))
    warped, spatial = draw(4, 2, 40, 40), draw(4, 2, 40, 40)
    return planted, warped, spatial, planted(torch.cat([warped, spatial], 1))


def test_the_equations_find_the_convolution_that_made_the_data(problem, monkeypatch):
    planted, *data = problem
    monkeypatch.setattr("twnet_ros.learn.training.rectify.DISTURBANCE", 0.0)
    monkeypatch.setattr("twnet_ros.learn.training.rectify.RIDGE", 1e-9)
    equations = NormalEquations(2, "cpu")
    equations.add(*data)
    weight, bias = equations.solve()
    assert torch.allclose(weight, planted.weight, atol=1e-4)
    assert torch.allclose(bias, planted.bias, atol=1e-4)


def test_the_disturbance_is_that_of_noise_on_the_warped_feature(problem, monkeypatch):
    """Against the same equations with noise drawn, many times over."""
    _, warped, spatial, missing = problem
    monkeypatch.setattr("twnet_ros.learn.training.rectify.DISTURBANCE", 0.4)
    expected = NormalEquations(2, "cpu")
    expected.add(warped, spatial, missing)
    monkeypatch.setattr("twnet_ros.learn.training.rectify.DISTURBANCE", 0.0)
    drawn = NormalEquations(2, "cpu")
    torch.manual_seed(1)
    for _ in range(200):
        noise = torch.randn_like(warped) * (0.4 * warped.square().mean()).sqrt()
        drawn.add(warped + noise, spatial, missing - noise)
    for found, wanted in zip(drawn.solve(), expected.solve(), strict=True):
        assert torch.allclose(found, wanted, atol=0.02)
