"""The network against the paper: its cost, its shapes, its two steps."""

import functools

import pytest
import torch
import torch.nn.functional as F

from twnet_ros.learn.evaluation.complexity import PRODUCT, count_macs
from twnet_ros.net import Config, FeatureState, TWNet, residual_magnitude, to_grid, warp_cubic
from twnet_ros.net.config import CORRECTIONS

SIZE = (1024, 2048)
LAYERS = (1, 2, 3)
PAPER = ("mobilenetv1", "mobilenetv2", "resnet18")
DECODED = (*PAPER, "efficientnetlite0")  # with the paper's decoder
CONTEXT = {1: (128, 16), 2: (64, 8), 3: (64, 4)}  # channels and stride of the paper's layers
DUAL_CONTEXT = {1: (64, 8), 2: (64, 8), 3: (128, 8)}  # and DDRNet's
SHAPES = {  # of every cut: channels and stride of its context, stride of its logits
    **{(name, layer): (*CONTEXT[layer], 4) for name in DECODED for layer in LAYERS},
    **{("ddrnet23slim", layer): (*DUAL_CONTEXT[layer], 8) for layer in LAYERS},
}
every_cut = pytest.mark.parametrize("backbone, layer", SHAPES)
every_correction = pytest.mark.parametrize("backbone, layer", [c for c in SHAPES if c[1] < 3])

# Multiply-accumulates of the key step in 10^9, of 1024 x 2048 pixels and 19 classes. The encoders
# are those of the publications, 41.8 times their 224 x 224: without classifiers 0.2995 and 1.8136.
# EfficientNet-Lite0's is counted by hand: a block of kernel k from i channels to o at p pixels,
# 6 i wide, is 6 i i where it begins, and (k k + o) 6 i p.
# The pyramid pooling is i i/2 + 2 i/2 256 at 1/32 for i channels, and 85 i/2 i/8 in its bins;
# fuses and classifier are 9 256 128 at 1/16, 9 128 64 at 1/8, 9 64 64 and 9 64 19 at 1/4.
KEY_MACS = {
    # encoder at 1/4, 1/8, 1/16, 1/32; laterals; pyramid pooling; fuses and classifier
    "mobilenetv1": 39.66,
    "mobilenetv2": 3.169 + 1.565 + 4.038 + 3.746 + 0.537 + 2.358 + 11.098,
    "efficientnetlite0": 3.169 + 1.585 + 5.413 + 5.878 + 0.604 + 2.358 + 11.098,
    "resnet18": 24.260 + 17.180 + 17.180 + 17.180 + 1.611 + 0.538 + 11.098,
}
# DDRNet: stem 27 32 at 1/2 and 9 32 32 at 1/4, 4 9 32 32 at 1/4, 9 32 64 + 3 9 64 64 + 32 64 at
# 1/8; the branch at 1/8; the one below, the third and fourth stage, the last; both exchanges; the
# pyramid pooling; the segmentation head 9 128 64 + 64 19 at 1/8. Its paper says 36.3.
DUAL_MACS = 1.661 + 4.832 + 4.295 + 11.543 + 9.160 + 1.913 + 0.422 + 2.456
DUAL_LATERAL = {1: 0.134 + 1.208, 2: 0.604 + 1.208, 3: 0}  # 64 64 or 9 32 64, and 9 64 64, at 1/8


@pytest.fixture
def inputs():
    """Make (image, motion, residual) of a size, for a context with a stride."""

    def make(stride=16, height=64, width=96, seed=5, reach=4.0):
        generator = torch.Generator().manual_seed(seed)
        image = torch.randn(1, 3, height, width, generator=generator)
        coarse = reach * torch.randn(1, 2, height // 8, width // 8, generator=generator)
        motion = coarse.repeat_interleave(8, 2).repeat_interleave(8, 3)
        residual = 12 * torch.randn(1, 3, height, width, generator=generator)
        return image, to_grid(motion, stride), residual_magnitude(residual, stride)

    return make


def under(macs, part):
    return sum(count for name, count in macs.items() if name.startswith(part + "."))


@pytest.fixture(scope="module")
def large():
    """Step through 1024 x 2048 without computing; return (model, key MACs, step MACs, state)."""

    @functools.cache
    def step(layer, backbone="mobilenetv1"):
        names = tuple(f"class {i}" for i in range(19))
        config = Config(
            backbone,
            layer,
            names,
            ((0, 0, 0),) * 19,
            (2048, 1024),
            correction="rga" if layer < 3 else "none",
        )
        with torch.device("meta"), torch.no_grad():
            model = TWNet(config).eval()
            image, seen = torch.empty(1, 3, *SIZE), {}

            def key():
                seen["logits"], seen["key"] = model.key(image)

            def nonkey():
                grid = seen["key"].context.shape[-2:]
                motion, residual = torch.empty(1, 2, *grid), torch.empty(1, 3, *grid)
                seen["warped"], seen["state"] = model.nonkey(image, motion, residual, seen["key"])

            return model, count_macs(model, key), count_macs(model, nonkey), seen

    return step


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("backbone, giga", KEY_MACS.items())
def test_the_key_step_costs_what_the_papers_say(large, backbone, giga, layer):
    _, key, _, _ = large(layer, backbone)
    assert sum(key.values()) / 1e9 == pytest.approx(giga, abs=0.01)


@pytest.mark.parametrize("layer, giga", DUAL_LATERAL.items())
def test_ddrnet_costs_what_its_paper_says_and_its_lateral_connection(large, layer, giga):
    _, key, _, _ = large(layer, "ddrnet23slim")
    assert sum(key.values()) / 1e9 == pytest.approx(DUAL_MACS + giga, abs=0.01)
    assert abs(DUAL_MACS - 36.3) < 0.05


@every_correction
def test_the_rectification_costs_what_the_paper_says(large, backbone, layer):
    _, _, nonkey, _ = large(layer, backbone)
    assert under(nonkey, "cfr") / 1e9 == pytest.approx(2.416, abs=0.001)


@pytest.mark.parametrize("layer, millions", [(1, 1.27), (2, 2.98)])
def test_the_attention_and_its_product_cost_what_the_paper_says(large, layer, millions):
    _, key, nonkey, seen = large(layer)
    assert nonkey[PRODUCT] == seen["state"].context.numel()
    assert key[PRODUCT] == 0
    assert (under(nonkey, "rga") + nonkey[PRODUCT]) / 1e6 == pytest.approx(millions, abs=0.005)


def test_nonkey_steps_cost_as_much_less_as_the_paper_says(large):
    cost = {}
    for layer in (1, 2):
        _, key, nonkey, _ = large(layer)
        corrections = under(nonkey, "cfr") + under(nonkey, "rga") + nonkey[PRODUCT]
        cost[layer] = sum(nonkey.values()) - corrections
        assert cost[layer] < 0.5 * sum(key.values())
    assert cost[1] / cost[2] == pytest.approx(1.547, abs=0.001)


@pytest.mark.parametrize("layer, trunk, share", [(1, 1.661 + 4.832 + 4.295, 0.4), (2, 1.661, 0.2)])
def test_nonkey_steps_of_ddrnet_cost_what_its_trunk_does_and_the_correction(
    large, layer, trunk, share
):
    _, key, nonkey, _ = large(layer, "ddrnet23slim")
    expected = trunk + DUAL_LATERAL[layer] + 2.416 + 0.040  # CFR 9 128 64, classifier 64 19
    assert sum(nonkey.values()) / 1e9 == pytest.approx(expected, abs=0.01)
    assert sum(nonkey.values()) < share * sum(key.values())


@every_cut
def test_nonkey_steps_leave_the_deep_part_alone(large, backbone, layer):
    _, _, nonkey, _ = large(layer, backbone)
    assert under(nonkey, "keyframe") == 0


@every_cut
def test_contexts_and_logits_have_the_cuts_shapes(large, backbone, layer):
    model, _, _, seen = large(layer, backbone)
    channels, stride, logit_stride = SHAPES[backbone, layer]
    shape = (1, channels, SIZE[0] // stride, SIZE[1] // stride)
    assert seen["key"].context.shape == seen["state"].context.shape == shape
    assert (model.keyframe.channels, model.keyframe.stride) == (channels, stride)
    shape = (1, 19, SIZE[0] // logit_stride, SIZE[1] // logit_stride)
    assert seen["logits"].shape == seen["warped"].shape == shape


@pytest.mark.parametrize(
    "backbone, widths",
    [
        ("mobilenetv1", [128, 256, 512, 1024]),
        ("mobilenetv2", [24, 32, 96, 1280]),
        ("resnet18", [64, 128, 256, 512]),
        ("efficientnetlite0", [24, 40, 112, 1280]),
    ],
)
def test_encoders_halve_the_picture_with_the_papers_channels(network, backbone, widths):
    key = network(backbone=backbone).keyframe
    x = torch.zeros(1, 3, 64, 96)
    for power, stage in enumerate([*key.head.stages, *key.context.stages], 2):
        x = stage(x)
        assert x.shape == (1, widths[power - 2], 64 >> power, 96 >> power)


@pytest.mark.parametrize("backbone", [*DECODED, "ddrnet23slim"])
def test_layer_3_has_nothing_to_correct_with(network, backbone):
    model = network(backbone=backbone, layer=3)
    assert not hasattr(model, "cfr")
    assert not hasattr(model, "rga")


def test_the_correction_has_the_papers_shapes(network):
    assert network(layer=1).cfr.predict.weight.shape == (128, 256, 3, 3)
    assert network(layer=2).cfr.predict.weight.shape == (64, 128, 3, 3)
    assert network(layer=2).rga.attend.weight.shape == (1, 3, 3, 3)


@every_cut
def test_before_training_a_nonkey_step_without_motion_repeats_the_key_step(
    network, inputs, backbone, layer
):
    model = network(backbone=backbone, layer=layer)
    model.copy_key_parts()
    image, motion, residual = inputs(SHAPES[backbone, layer][1])
    with torch.no_grad():
        logits, state = model.key(image)
        again, after = model.nonkey(image, torch.zeros_like(motion), residual, state)
    assert torch.equal(after.context, state.context)
    assert torch.allclose(again, logits, atol=1e-5)
    assert (state.distance, after.distance) == (0, 1)


@every_correction
def test_a_nonkey_step_is_equation_7(correcting, inputs, backbone, layer):
    model = correcting(backbone=backbone, layer=layer)
    stride = SHAPES[backbone, layer][1]
    image, motion, residual = inputs(stride)
    h, w = 64 // stride, 96 // stride
    with torch.no_grad():
        _, state = model.key(inputs(seed=9)[0])
        logits, after = model.nonkey(image, motion, residual, state)

        warped = warp_cubic(state.context, motion)  # in feature pixels
        head = model.head(image)
        spatial = F.interpolate(head.lateral[0], (h, w), mode="bilinear", align_corners=False)
        cfr, rga = model.cfr.predict, model.rga.attend
        missing = F.conv2d(torch.cat([warped, spatial], 1), cfr.weight, cfr.bias, padding=1)
        attention = 1 / (1 + torch.exp(-F.conv2d(residual / 4, rga.weight, rga.bias, padding=1)))
        expected = warped + attention * missing
        assert (expected - warped).abs().max() > 0.05  # there is something to check
        assert torch.allclose(after.context, expected, atol=1e-4)
        assert torch.allclose(logits, model.tail(expected, head), atol=1e-3)


def test_corrections_are_what_the_paper_adds_one_after_the_other(correcting, network, inputs):
    """NKFC warps alone (equation 4), CFR corrects everywhere (5), RGA says where (7)."""
    full = correcting()
    image, motion, residual = inputs()
    contexts = {}
    with torch.no_grad():
        _, state = full.key(inputs(seed=9)[0])
        head = full.head(image)
        for correction in CORRECTIONS:
            model = network(correction=correction)
            own = model.state_dict()
            model.load_state_dict({k: t for k, t in full.state_dict().items() if k in own})
            logits, after = model.nonkey(image, motion, residual, state)
            contexts[correction] = after.context
            assert torch.allclose(logits, model.tail(after.context, head), atol=1e-5)
        warped = warp_cubic(state.context, motion)
        missing = full.cfr(warped, full.spatial(head, warped))
        attention = full.rga(residual)
    assert torch.equal(contexts["none"], warped)
    assert torch.allclose(contexts["cfr"], warped + missing, atol=1e-5)
    assert torch.allclose(contexts["rga"], warped + attention * missing, atol=1e-5)
    assert torch.equal(contexts["fusion"], contexts["rga"])  # the rest is the engine's
    assert not hasattr(network(correction="none"), "cfr")
    assert not hasattr(network(correction="cfr"), "rga")


@pytest.mark.parametrize("layer, offered", [(1, "none or cfr or rga or fusion"), (3, "none")])
def test_a_correction_that_a_layer_cannot_have_is_refused(network, layer, offered):
    wrong = "rga" if layer == 3 else "flow"
    with pytest.raises(ValueError, match=f"expected {offered} with layer {layer}, got '{wrong}'"):
        network(layer=layer, correction=wrong)


@pytest.mark.parametrize("backbone", PAPER)
@pytest.mark.parametrize("layer", LAYERS)
def test_the_key_frame_cnn_is_the_same_wherever_it_is_cut(network, inputs, backbone, layer):
    first = network(backbone=backbone, layer=2)
    correction = "none" if layer == 3 else "cfr"
    again = first.recut(layer, correction).eval()
    assert (again.config.layer, again.config.correction) == (layer, correction)
    with torch.no_grad():
        image = inputs()[0]
        logits, state = again.key(image)
        assert torch.equal(logits, first.key(image)[0])
        assert state.context.shape[1] == CONTEXT[layer][0]
        head = again.head(image)  # the copies are the key-frame CNN's
        assert torch.equal(again.tail(state.context, head), logits)
    for tensor in again.state_dict().values():
        tensor.zero_()
    assert first.key(image)[0].any()  # nothing is shared


def test_ddrnet_has_another_key_frame_cnn_at_each_layer(network):
    model = network(backbone="ddrnet23slim", layer=1)
    same = model.recut(1, "none")
    assert torch.equal(same.keyframe.uncut()["classifier.weight"], model.tail.classifier.weight)
    with pytest.raises(ValueError, match="layer: expected 1, for which .* trained .*, got 2"):
        model.recut(2, "rga")


def test_layer_3_is_warp_and_classifier(correcting, inputs):
    model = correcting(layer=3)
    image, motion, residual = inputs(stride=4)
    with torch.no_grad():
        _, state = model.key(image)
        logits, after = model.nonkey(image, torch.full_like(motion, 2.0), residual, state)
        rows, columns = (torch.arange(16) + 2).clamp(max=15), (torch.arange(24) + 2).clamp(max=23)
        shifted = state.context[:, :, rows][:, :, :, columns]
        assert torch.equal(after.context, shifted)
        classifier = model.tail.classifier
        expected = F.conv2d(shifted, classifier.weight, classifier.bias, padding=1)
        assert torch.allclose(logits, expected, atol=1e-4)


def test_the_residual_guides_the_correction(correcting, inputs):
    model = correcting()
    image, motion, residual = inputs()
    with torch.no_grad():
        model.rga.attend.weight.fill_(1.0)
        _, state = model.key(image)
        _, calm = model.nonkey(image, motion, 0 * residual, state)
        _, rough = model.nonkey(image, motion, residual, state)
    assert not torch.allclose(calm.context, rough.context)


def test_a_step_leaves_its_inputs_as_they_were(correcting, inputs):
    model = correcting()
    image, motion, residual = inputs()
    with torch.no_grad():
        _, state = model.key(image)
        kept = state.clone()
        first, after = model.nonkey(image, motion, residual, state)
        second, _ = model.nonkey(image, motion, residual, kept)
        assert torch.equal(state.context, kept.context)
        assert torch.equal(first, second)
        model.nonkey(image, motion, residual, after)
    for part, fresh in zip((image, motion, residual), inputs(), strict=True):
        assert torch.equal(part, fresh)


def test_a_clone_is_a_state_of_its_own():
    state = FeatureState(torch.zeros(1, 2, 3, 4), 5)
    copy = state.clone()
    state.context.fill_(1)
    assert copy.distance == 5
    assert not copy.context.any()


def test_every_step_counts_the_distance(correcting, inputs):
    model = correcting()
    image, motion, residual = inputs()
    with torch.no_grad():
        _, state = model.key(image)
        for distance in (1, 2, 3):
            _, state = model.nonkey(image, motion, residual, state)
            assert state.distance == distance
        assert model.key(image)[1].distance == 0


def test_an_untrained_step_is_copies_of_the_key_frame_cnn_and_learns(network, inputs):
    model, new = network(), network()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # as trainings before would
    model = model.recut(model.config.layer, model.config.correction).eval()
    for part in ("cfr", "rga"):
        found, expected = (getattr(m, part).state_dict() for m in (model, new))
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    for name in ("head", "tail"):
        original, copy = getattr(model.keyframe, name), getattr(model, name)
        for a, b in zip(original.parameters(), copy.parameters(), strict=True):
            assert torch.equal(a, b)
            assert a.data_ptr() != b.data_ptr()
    image, motion, residual = inputs()
    with torch.no_grad():
        _, state = model.key(image)
    logits, _ = model.nonkey(image, motion, residual, state)
    logits.sum().backward()
    assert all(p.grad is None for p in model.keyframe.parameters())
    assert model.cfr.predict.weight.grad.abs().sum() > 0
    assert all(p.grad is not None for p in model.head.parameters())
    assert all(p.grad is not None for p in model.tail.parameters())


def test_two_streams_in_a_batch_do_not_mix(correcting, inputs):
    model = correcting()
    one, two = inputs(seed=1), inputs(seed=2)
    both = [torch.cat(parts) for parts in zip(one, two, strict=True)]
    with torch.no_grad():
        _, state = model.key(both[0])
        logits, after = model.nonkey(*both, state)
        for n, single in enumerate((one, two)):
            _, alone = model.key(single[0])
            expected, follow = model.nonkey(*single, alone)
            assert torch.allclose(logits[n : n + 1], expected, atol=1e-4)
            assert torch.allclose(after.context[n : n + 1], follow.context, atol=1e-4)
