"""The methods that are compared: TWNet, and what it is held against, each as an engine."""

from torch import nn

from twnet_ros.learn.evaluation.baseline import CarriedFeature, CarriedLogits, uncorrected, unfused
from twnet_ros.learn.evaluation.interpolation import Interpolator
from twnet_ros.net import TWNet
from twnet_ros.segment import Network, Segmenter, key_policy
from twnet_ros.segment.flow import NETWORKS
from twnet_ros.segment.policy import INTERVAL

USUAL = ("per_frame", "twnet", "adaptive", "warping", "repeat")
METHODS = (*USUAL, "unfused", "nkfc", "prop_mv", "dff", "interp_mv")


def engine(
    model: TWNet,
    method: str,
    device: str,
    precision: str,
    motion: str = "auto",
    interval: int = INTERVAL,
) -> Segmenter | Interpolator:
    """Return the engine for one of METHODS.

    ``per_frame`` takes the key step on every frame, ``twnet`` is the model with key steps at
    I-frames alone, ``adaptive`` as the node runs: with those after ``interval`` frames and where a
    drive changes, too. ``unfused`` is the model without its fusion of logits, if it has that,
    ``nkfc`` its non-key step without fine-tuning and correction. The others only warp: ``prop_mv``
    carries the deepest feature along the motion, ``dff`` along optical flow, ``interp_mv`` from
    the key frames on both sides, ``warping`` the key frame's logits; ``repeat``, without motion,
    repeats its labels.
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    if method == "interp_mv":
        return Interpolator(model, device, precision, motion)
    if method == "dff" and motion not in ("flow", *NETWORKS):
        motion = "flow"
    if method == "repeat":
        motion = "none"
    return Segmenter(
        Network(arrange(model, method), device, precision),  # type: ignore[arg-type]
        per_frame=method == "per_frame",
        policy=key_policy("adaptive" if method == "adaptive" else "codec", interval),
        motion=motion,
    )


def arrange(model: TWNet, method: str) -> nn.Module:
    """Return the network that runs in a method's steps."""
    if method == "unfused":
        return unfused(model)
    if method == "nkfc":
        return uncorrected(model)
    if method in ("prop_mv", "dff"):
        return CarriedFeature(model)
    if method in ("warping", "repeat"):
        return CarriedLogits(model)
    return model
