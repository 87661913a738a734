"""The methods that are compared: TWNet, and what it is held against, each as an engine."""

from twnet_ros.learn.baseline import CarriedLogits
from twnet_ros.net import TWNet
from twnet_ros.segment import Segmenter

METHODS = ("per_frame", "twnet", "warping", "repeat")


def engine(
    model: TWNet, method: str, device: str, precision: str, motion: str = "auto"
) -> Segmenter:
    """Return the engine for one of METHODS.

    ``per_frame`` takes the key step on every frame, ``twnet`` is the model as it runs,
    ``warping`` carries the key frame's logits along the motion, ``repeat`` repeats its labels.
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    if method in ("per_frame", "twnet"):
        return Segmenter(model, device, precision, per_frame=method == "per_frame", motion=motion)
    carried = CarriedLogits(model, moving=method == "warping")
    return Segmenter(carried, device, precision, motion=motion)  # type: ignore[arg-type]
