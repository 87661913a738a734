"""What a checkpoint says about its network."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass

from twnet_ros.net.backbone import Backbone
from twnet_ros.net.ddrnet import ddrnet_23_slim
from twnet_ros.net.efficientnet_lite0 import efficientnet_lite0
from twnet_ros.net.mobilenet_v1 import mobilenet_v1
from twnet_ros.net.mobilenet_v2 import mobilenet_v2
from twnet_ros.net.resnet18 import resnet18

BACKBONES: dict[str, Callable[[int, int], Backbone]] = {
    "ddrnet23slim": ddrnet_23_slim,
    "efficientnetlite0": efficientnet_lite0,
    "mobilenetv1": mobilenet_v1,
    "mobilenetv2": mobilenet_v2,
    "resnet18": resnet18,
}
# Each with what the one before it has; the last is the engine's, which carries logits along, too.
CORRECTIONS = ("none", "cfr", "rga", "fusion")


def wrong_size(size: tuple[int, ...]) -> str:
    """Say why pictures of a size cannot be the network's input; '' if they can."""
    if len(size) == 2 and all(32 <= side <= 8192 for side in size):
        return ""
    return f"input_size: expected (width, height) of 32 to 8192, got {size}"


@dataclass(frozen=True)
class Config:
    """The configuration of a TWNet; raises ValueError where a field is out of its range."""

    backbone: str
    layer: int  # where the backbone is cut, 1 to 3: in the paper, after that decoder stage
    classes: tuple[str, ...]  # names in the order of their train ids
    colors: tuple[tuple[int, int, int], ...]  # RGB of each class
    input_size: tuple[int, int]  # (width, height) that the video is scaled to fit, in pixels
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)  # RGB, 8-bit levels
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    correction: str = "rga"  # one of CORRECTIONS; none for layer 3, which has no spatial feature

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise ValueError(
                f"backbone: expected one of {sorted(BACKBONES)}, got {self.backbone!r}"
            )
        if self.layer not in (1, 2, 3):
            raise ValueError(f"layer: expected 1, 2 or 3, got {self.layer!r}")
        offered = CORRECTIONS if self.layer < 3 else CORRECTIONS[:1]
        if self.correction not in offered:
            raise ValueError(
                f"correction: expected {' or '.join(offered)} with layer {self.layer}, "
                f"got {self.correction!r}"
            )
        if not 2 <= len(self.classes) <= 255:
            raise ValueError(f"classes: expected 2 to 255 names, got {len(self.classes)}")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes: expected distinct names, got {self.classes}")
        if len(self.colors) != len(self.classes):
            raise ValueError(
                f"colors: expected one a class ({len(self.classes)}), got {len(self.colors)}"
            )
        for color in self.colors:
            if len(color) != 3 or not all(0 <= level <= 255 for level in color):
                raise ValueError(f"colors: expected three levels of 0 to 255, got {color}")
        if wrong := wrong_size(self.input_size):
            raise ValueError(wrong)
        if len(self.mean) != 3 or not all(0 <= level <= 255 for level in self.mean):
            raise ValueError(f"mean: expected three levels of 0 to 255, got {self.mean}")
        if len(self.std) != 3 or not all(1 <= level <= 255 for level in self.std):
            raise ValueError(
                f"std: expected three levels of 1 to 255, of pictures of 0 to 255, got {self.std}"
            )

    @property
    def fuses(self) -> bool:
        """Whether a frame's logits are drawn towards those of the frame before."""
        return self.correction == "fusion"

    def build(self) -> Backbone:
        """Build the key-frame CNN, randomly initialised."""
        return BACKBONES[self.backbone](len(self.classes), self.layer)

    def to_json(self) -> str:
        """Return the configuration as JSON text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """Read what ``to_json`` wrote; ValueError for missing, unknown or ill-typed fields."""
        fields = json.loads(text)
        if not isinstance(fields, dict):
            raise ValueError(f"expected a JSON object, got {type(fields).__name__}")
        names = {field.name for field in dataclasses.fields(cls)}
        if set(fields) != names:
            raise ValueError(f"expected the fields {sorted(names)}, got {sorted(fields)}")
        try:
            config = cls(
                backbone=str(fields["backbone"]),
                layer=int(fields["layer"]),
                classes=tuple(str(name) for name in fields["classes"]),
                colors=tuple((int(r), int(g), int(b)) for r, g, b in fields["colors"]),
                input_size=(int(fields["input_size"][0]), int(fields["input_size"][1])),
                mean=tuple(float(level) for level in fields["mean"]),  # type: ignore[arg-type]
                std=tuple(float(level) for level in fields["std"]),  # type: ignore[arg-type]
                correction=str(fields["correction"]),
            )
        except (TypeError, LookupError, OverflowError) as error:
            raise ValueError(f"ill-typed field: {error}") from error
        for name, value in json.loads(config.to_json()).items():
            if value != fields[name]:  # the conversions above take more than was written
                raise ValueError(f"{name}: expected {value!r}, got {fields[name]!r}")
        return config
