"""ImageNet weights: each published name's tensor does in our encoder what it does in theirs."""

import zipfile
from itertools import chain

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from twnet_ros.net import CheckpointError, Config, load_pretrained, publication
from twnet_ros.net.pretrained import PUBLISHED

EXPANSIONS = [  # of MobileNetV2: widening, channels, blocks, stride, from its paper
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]
LITE = [  # of EfficientNet-Lite0: kernel, widening, channels, blocks, stride
    (3, 1, 16, 1, 1),
    (3, 6, 24, 2, 2),
    (5, 6, 40, 2, 2),
    (3, 6, 80, 3, 2),
    (5, 6, 112, 3, 1),
    (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
]
SEPARABLES = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), *[(512, 2)] + [(512, 1)] * 5]
SEPARABLES += [(1024, 2), (1024, 1)]  # of MobileNetV1: channels, stride
BLOCKS = ["0.0", "1.0", "1.1", "2.0", "2.1", *(f"3.{i}" for i in range(6)), "4.0", "4.1"]


class Writer:
    """Stands in for a published network: makes up each tensor where it is first used."""

    def __init__(self):
        self.tensors, self.epsilon = {}, 1e-5
        self.generator = torch.Generator().manual_seed(7)

    def random(self, name, *shape, low=-1.0, high=1.0):
        x = torch.rand(shape, generator=self.generator) * (high - low) + low
        return self.tensors.setdefault(name, x)

    def conv(self, x, name, norm, width, kernel, stride=1, groups=1):
        """Convolve and normalise, as nn.Conv2d and nn.BatchNorm2d of these names would."""
        scale = (kernel**2 * x.shape[1] / groups) ** -0.5
        shape = (width, x.shape[1] // groups, kernel, kernel)
        weight = self.random(f"{name}.weight", *shape, low=-2 * scale, high=2 * scale)
        x = F.conv2d(x, weight, None, stride, kernel // 2, groups=groups)
        gain = self.random(f"{norm}.weight", width, low=0.8, high=1.4)
        shift = self.random(f"{norm}.bias", width, low=-0.1, high=0.5)
        mean = self.random(f"{norm}.running_mean", width, low=-0.2, high=0.2)
        variance = self.random(f"{norm}.running_var", width, low=0.5, high=1.5)
        self.tensors[f"{norm}.num_batches_tracked"] = torch.tensor(100)
        return F.batch_norm(x, mean, variance, gain, shift, eps=self.epsilon)

    def classifier(self, name, width):
        self.random(f"{name}.weight", 1000, width)
        self.random(f"{name}.bias", 1000)


def resnet18(net, x):
    """Return torchvision's features at 1/4, 1/8, 1/16 and 1/32."""
    x = F.max_pool2d(F.relu(net.conv(x, "conv1", "bn1", 64, 7, 2)), 3, 2, 1)
    features = []
    for stage, width in enumerate((64, 128, 256, 512), 1):
        for block in (0, 1):
            part, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = F.relu(net.conv(x, f"{part}.conv1", f"{part}.bn1", width, 3, stride))
            y = net.conv(y, f"{part}.conv2", f"{part}.bn2", width, 3)
            if stride == 2:
                x = net.conv(x, f"{part}.downsample.0", f"{part}.downsample.1", width, 1, 2)
            x = F.relu(x + y)
        features.append(x)
    net.classifier("fc", 512)
    return features


def mobilenet_v1(net, x):
    """Return timm's."""
    x = F.relu6(net.conv(x, "conv_stem", "bn1", 32, 3, 2))
    features = []
    for name, (width, stride) in zip(BLOCKS, SEPARABLES, strict=True):
        if stride == 2:
            features.append(x)
        part = f"blocks.{name}"
        x = net.conv(x, f"{part}.conv_dw", f"{part}.bn1", x.shape[1], 3, stride, x.shape[1])
        x = F.relu6(net.conv(F.relu6(x), f"{part}.conv_pw", f"{part}.bn2", width, 1))
    net.classifier("classifier", 1024)
    return [*features[1:], x]


def mobilenet_v2(net, x):
    """Return torchvision's."""
    x = F.relu6(net.conv(x, "features.0.0", "features.0.1", 32, 3, 2))
    features, number = [], 0
    for widen, width, blocks, stride in EXPANSIONS:
        if stride == 2:
            features.append(x)
        for block in range(blocks):
            number += 1
            part, y, step = f"features.{number}.conv", x, 0
            wide = x.shape[1] * widen
            if widen > 1:
                y, step = F.relu6(net.conv(y, f"{part}.0.0", f"{part}.0.1", wide, 1)), 1
            jump = stride if block == 0 else 1
            y = net.conv(y, f"{part}.{step}.0", f"{part}.{step}.1", wide, 3, jump, wide)
            y = net.conv(F.relu6(y), f"{part}.{step + 1}", f"{part}.{step + 2}", width, 1)
            x = x + y if jump == 1 and x.shape[1] == width else y
    x = F.relu6(net.conv(x, "features.18.0", "features.18.1", 1280, 1))
    net.classifier("classifier.1", 1280)
    return [*features[1:], x]


def efficientnet_lite0(net, x):
    """Return those of the package on PyPI, padded as ours."""
    net.epsilon = 1e-3
    x = F.relu6(net.conv(x, "_conv_stem", "_bn0", 32, 3, 2))
    features, number = [], 0
    for kernel, widen, width, blocks, stride in LITE:
        if stride == 2:
            features.append(x)
        for block in range(blocks):
            part, y, wide = f"_blocks.{number}", x, x.shape[1] * widen
            if widen > 1:
                y = F.relu6(net.conv(y, f"{part}._expand_conv", f"{part}._bn0", wide, 1))
            jump, names = stride if block == 0 else 1, (f"{part}._depthwise_conv", f"{part}._bn1")
            y = F.relu6(net.conv(y, *names, wide, kernel, jump, wide))
            y = net.conv(y, f"{part}._project_conv", f"{part}._bn2", width, 1)
            x = x + y if jump == 1 and x.shape[1] == width else y
            number += 1
    x = F.relu6(net.conv(x, "_conv_head", "_bn1", 1280, 1))
    net.classifier("_fc", 1280)
    return [*features[1:], x]


THEIRS = {
    "efficientnetlite0": efficientnet_lite0,
    "mobilenetv1": mobilenet_v1,
    "mobilenetv2": mobilenet_v2,
    "resnet18": resnet18,
}
# Of their tensors, without the norms' counters.
COUNTS = {"efficientnetlite0": 247, "mobilenetv1": 137, "mobilenetv2": 262, "resnet18": 102}
SAVERS = {
    "a.safetensors": save_file,
    "zip.pth": torch.save,
    "old.pth": lambda t, path: torch.save(t, path, _use_new_zipfile_serialization=False),
}


@pytest.fixture
def image():
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def theirs(image):
    """Make a publisher's tensors and their features of the image."""

    def make(backbone):
        net = Writer()
        features = THEIRS[backbone](net, image)
        return net.tensors, features

    return make


@pytest.fixture
def ours(network):
    """Make a network that expects pictures normalised as the publisher's."""

    def make(backbone="resnet18", **settings):
        published = publication(backbone)
        return network(
            backbone=backbone, mean=published.mean, std=published.std, **settings
        ).train()

    return make


@pytest.fixture
def stored(tmp_path, theirs):
    """Write a publisher's file, without some tensors and with others changed."""

    def make(backbone="resnet18", without=(), name="a.pth", **changed):
        tensors = {k: t for k, t in theirs(backbone)[0].items() if k not in without}
        path = tmp_path / name
        SAVERS.get(name, torch.save)({**tensors, **changed}, path)
        return path

    return make


def test_every_encoder_but_ddrnets_is_published():
    assert set(PUBLISHED) == set(THEIRS)


@pytest.mark.parametrize("backbone", THEIRS)
def test_the_lists_of_names_are_complete(theirs, backbone):
    named = [name for name in theirs(backbone)[0] if not name.endswith("num_batches_tracked")]
    assert len(named) == COUNTS[backbone]


@pytest.mark.parametrize("name", SAVERS)
@pytest.mark.parametrize("backbone, layer", [(b, n % 3 + 1) for n, b in enumerate(THEIRS)])
def test_our_encoder_computes_what_theirs_does(theirs, ours, stored, image, backbone, layer, name):
    model = ours(backbone, layer=layer)
    load_pretrained(model, stored(backbone, name=name))
    model.eval()
    x = image
    with torch.no_grad():
        for stage, expected in zip(
            chain(model.keyframe.head.stages, model.keyframe.context.stages),
            theirs(backbone)[1],
            strict=True,
        ):
            x = stage(x)
            assert expected.std() > 0.05  # there is something to compare
            torch.testing.assert_close(x, expected, rtol=1e-4, atol=1e-4)


def test_only_the_encoder_is_filled_and_the_copies_follow(ours, stored):
    model, before = ours(layer=1), ours(layer=1).state_dict()
    filled = load_pretrained(model, stored())
    parts = ("keyframe.head.stages", "keyframe.context.stages", "head.stages")
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        assert torch.equal(tensor, before[name]) != name.startswith(parts), name
        assert (name in filled) == name.startswith(parts[:2]), name
    for name, tensor in model.keyframe.head.state_dict().items():
        assert torch.equal(tensor, model.head.state_dict()[name])


def test_files_from_before_the_norms_counted_batches(ours, stored, theirs):
    counters = [name for name in theirs("resnet18")[0] if name.endswith("num_batches_tracked")]
    load_pretrained(ours(), stored(without=counters))


def test_pictures_are_normalised_as_the_publishers_do():
    for backbone in ("resnet18", "mobilenetv2"):
        published = publication(backbone)
        assert published.mean == pytest.approx([255 * m for m in (0.485, 0.456, 0.406)])
        assert published.std == pytest.approx([255 * s for s in (0.229, 0.224, 0.225)])
        assert (Config.mean, Config.std) == (published.mean, published.std)
    lite = publication("efficientnetlite0")
    assert (lite.mean, lite.std) == ((127,) * 3, (128,) * 3)
    timm = publication("mobilenetv1")
    assert timm.mean == timm.std == (127.5,) * 3


def test_another_normalisation_is_an_error(network, stored):
    with pytest.raises(ValueError, match=r"timm's mobilenetv1_100 expects mean \(127\.5, .* got"):
        load_pretrained(network(backbone="mobilenetv1"), stored("mobilenetv1"))


def test_a_backbone_without_published_weights(network, stored):
    wanted = "expected a backbone of efficientnetlite0, mobilenetv1, .*, got 'ddrnet23slim'"
    with pytest.raises(ValueError, match=wanted):
        load_pretrained(network(backbone="ddrnet23slim"), stored())


def test_missing_tensors(ours, stored):
    path = stored(without=["conv1.weight", "layer4.1.bn2.bias"])
    wanted = r"a\.pth: expected the 100 tensors of torchvision's resnet18: "
    wanted += r"2 missing \(conv1\.weight, layer4\.1\.bn2\.bias\)$"
    with pytest.raises(CheckpointError, match=wanted):
        load_pretrained(ours(), path)


def test_a_deeper_network(ours, stored):
    more = {
        f"layer1.2.bn{i}.{name}": torch.ones(64) for i in (1, 2) for name in ("bias", "weight")
    }
    wanted = (
        r"4 unknown \(layer1\.2\.bn1\.bias, layer1\.2\.bn1\.weight, layer1\.2\.bn2\.bias, …\)$"
    )
    with pytest.raises(CheckpointError, match=wanted):
        load_pretrained(ours(), stored(**more))


def test_tensors_of_another_shape(ours, stored):
    wanted = r"1 of another shape \(conv1\.weight \(64, 3, 7, 7\) is \(64, 3, 3, 3\)\)$"
    with pytest.raises(CheckpointError, match=wanted):
        load_pretrained(ours(), stored(**{"conv1.weight": torch.zeros(64, 3, 3, 3)}))


def test_the_file_of_another_network(ours, stored):
    wanted = r"tensors of torchvision's mobilenet_v2: 260 missing \(features\.0\.0\.weight, .*; "
    wanted += r"\d+ unknown \(conv1\.weight, "
    with pytest.raises(CheckpointError, match=wanted) as error:
        load_pretrained(ours("mobilenetv2"), stored("resnet18"))
    assert "\n" not in str(error.value)


def test_a_wrong_file_leaves_the_network_as_it_was(ours, stored):
    model = ours()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError):
        load_pretrained(model, stored(without=["layer4.1.bn2.bias"]))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_no_file(ours, tmp_path):
    with pytest.raises(CheckpointError, match="expected a file of ImageNet weights, found none"):
        load_pretrained(ours(), tmp_path / "none.pth")


@pytest.mark.parametrize("name", ["weights.onnx", "weights"])
def test_a_file_of_another_kind(ours, stored, name):
    with pytest.raises(CheckpointError, match=r"expected a \.safetensors or \.pth file"):
        load_pretrained(ours(), stored(name=name))


@pytest.mark.parametrize("name", SAVERS)
@pytest.mark.parametrize("keep", [0, 7, 0.5, 0.999])
def test_a_damaged_file(ours, stored, name, keep):
    path = stored(name=name)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep == 7 else keep * len(data))])
    with pytest.raises(CheckpointError, match="expected a (safetensors file|state dict)") as error:
        load_pretrained(ours(), path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["zip.pth", "old.pth"])
def test_code_in_a_file_is_never_executed(ours, stored, trap, name):
    with pytest.raises(CheckpointError, match="expected a state dict of torch"):
        load_pretrained(ours(), stored(name=name, trap=trap))
    assert not trap.mark.exists()


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"state_dict": {}}, {3: torch.zeros(1)}])
def test_anything_but_tensors_by_name(ours, tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="expected a state dict of tensors by name"):
        load_pretrained(ours(), tmp_path / "a.pth")


@pytest.mark.parametrize("name", SAVERS)
def test_a_file_too_large(ours, stored, monkeypatch, name):
    monkeypatch.setattr("twnet_ros.net.checkpoint.MAX_BYTES", 1000)
    with pytest.raises(CheckpointError, match="expected at most 1000 bytes, got"):
        load_pretrained(ours(), stored(name=name))


def test_a_file_too_large_once_unpacked(ours, tmp_path, monkeypatch):
    torch.save({"zeros": torch.zeros(1 << 20)}, tmp_path / "flat.pth")
    packed = tmp_path / "packed.pth"
    with (
        zipfile.ZipFile(tmp_path / "flat.pth") as flat,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as small,
    ):
        for member in flat.namelist():
            small.writestr(member, flat.read(member))
    monkeypatch.setattr("twnet_ros.net.checkpoint.MAX_BYTES", 1 << 20)
    assert packed.stat().st_size < 1 << 20
    with pytest.raises(CheckpointError, match="expected at most 1048576 bytes, got 4"):
        load_pretrained(ours(), packed)
