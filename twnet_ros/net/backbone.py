"""What a backbone is to TWNet: a head, a context and a tail."""

from dataclasses import dataclass

from torch import Tensor, nn

from twnet_ros.net.layer import Fuse, Lateral, PyramidPooling


@dataclass(frozen=True, slots=True)
class HeadFeatures:
    """What the shallow head extracts from one picture.

    ``deep`` is what the context goes on from. ``lateral`` holds the low-level features for the
    tail's stages, deepest first, already projected to the stage's width; the first one is also
    the spatial feature of the correction. A layer without tail stages has none.
    """

    deep: Tensor
    lateral: tuple[Tensor, ...]


class Head(nn.Module):
    """The encoder's shallow stages with the lateral projections that start in the last of them."""

    def __init__(self, stages: list[nn.Module], laterals: list[Lateral]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.laterals = nn.ModuleList(laterals)

    def forward(self, image: Tensor) -> HeadFeatures:
        """Extract the low-level features of (N, 3, H, W)."""
        x, features = image, list[Tensor]()
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        lateral = zip(self.laterals, reversed(features), strict=False)
        return HeadFeatures(x, tuple(project(feature) for project, feature in lateral))


class Context(nn.Module):
    """The deep part: remaining encoder stages, pyramid pooling, decoder up to the context."""

    def __init__(
        self,
        stages: list[nn.Module],
        pooling: PyramidPooling,
        laterals: list[Lateral],
        fuses: list[Fuse],
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.pooling = pooling
        self.laterals = nn.ModuleList(laterals)
        self.fuses = nn.ModuleList(fuses)

    def forward(self, head: HeadFeatures) -> Tensor:
        """Compute the context feature (N, C, H / stride, W / stride), after its ReLU."""
        x: Tensor = head.deep
        features: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        x = self.pooling(features.pop())
        stages = zip(self.fuses, self.laterals, reversed(features), strict=True)
        for fuse, project, feature in stages:
            x = fuse(x, project(feature))
        return x


class Tail(nn.Module):
    """The decoder's remaining stages and the classifier."""

    def __init__(self, fuses: list[Fuse], classifier: nn.Module) -> None:
        super().__init__()
        self.fuses = nn.ModuleList(fuses)
        self.classifier = classifier

    def forward(self, context: Tensor, head: HeadFeatures) -> Tensor:
        """Return logits (N, classes, h, w) at the classifier's own stride."""
        logits: Tensor = self.classifier(self.decode(context, head))
        return logits

    def decode(self, context: Tensor, head: HeadFeatures) -> Tensor:
        """Return the feature (N, C, h, w) in front of the classifier, the deepest of all."""
        x = context
        for fuse, shallow in zip(self.fuses, head.lateral, strict=True):
            x = fuse(x, shallow)
        return x


class Backbone(nn.Module):
    """A key-frame CNN, cut where its context feature is kept.

    The parts are ``head(image) -> HeadFeatures``, ``context(head)`` and ``tail(context, head)``,
    the last with logits at any power of two; ``channels`` and ``stride`` are those of the
    context feature.
    """

    def __init__(
        self, head: nn.Module, context: nn.Module, tail: Tail, *, channels: int, stride: int
    ) -> None:
        super().__init__()
        self.head = head
        self.context = context
        self.tail = tail
        self.channels = channels
        self.stride = stride

    def uncut(self) -> dict[str, Tensor]:
        """Return the state by names that do not tell where the network is cut.

        Stages, laterals and fuses are numbered from the picture, or the pooling, on.
        """
        head, context, tail = self.head, self.context, self.tail
        joined = {
            "stages": [*_parts(head, "stages"), *_parts(context, "stages")],
            "laterals": [*_parts(context, "laterals"), *_parts(head, "laterals")],
            "fuses": [*_parts(context, "fuses"), *_parts(tail, "fuses")],
        }
        whole = nn.ModuleDict({name: nn.ModuleList(parts) for name, parts in joined.items()})
        for part in (head, context, tail):
            whole.update({name: one for name, one in part.named_children() if name not in joined})
        return whole.state_dict()


def _parts(module: nn.Module, name: str) -> list[nn.Module]:
    return list(getattr(module, name, ()))


def assemble(encoder: list[nn.Module], widths: list[int], classes: int, layer: int) -> Backbone:
    """Join an encoder (stages at 1/4, 1/8, 1/16, 1/32) with the paper's decoder.

    ``widths`` are the channels of the encoder's stages. The context feature is the output of
    decoder stage ``layer``: 128 channels at 1/16, 64 at 1/8 or 64 at 1/4.
    """
    decoder = [256, 128, 64, 64]  # what enters stage 1, and what each stage returns
    laterals = [Lateral(widths[2 - k], decoder[k]) for k in range(3)]
    fuses = [Fuse(decoder[k], decoder[k + 1]) for k in range(3)]
    shallow = 3 - layer  # encoder stages in the head: those the tail's stages look back to
    return Backbone(
        Head(encoder[:shallow], laterals[layer:]),
        Context(
            encoder[shallow:],
            PyramidPooling(widths[3], decoder[0]),
            laterals[:layer],
            fuses[:layer],
        ),
        Tail(fuses[layer:], nn.Conv2d(decoder[3], classes, 3, padding=1)),
        channels=decoder[layer],
        stride=2 ** (5 - layer),
    )
