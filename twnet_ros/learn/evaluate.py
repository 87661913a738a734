"""Accuracy over clips, through the same engine that runs on the robot."""

from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from twnet_ros.codec import CodedFrame
from twnet_ros.learn.baseline import CarriedLogits
from twnet_ros.learn.clip import Coding, transcode
from twnet_ros.learn.metric import Confusion
from twnet_ros.learn.source import Source
from twnet_ros.net import TWNet
from twnet_ros.segment import Segmenter

Clip = list[tuple[CodedFrame, NDArray[np.uint8]]]
METHODS = ("per_frame", "twnet", "warping", "repeat")


def make_clips(source: Source, count: int, frames: int, coding: Coding, seed: int) -> list[Clip]:
    """Encode and decode ``count`` random clips of ``frames`` frames; same seed, same clips."""
    clips = []
    for number in tqdm(range(count), desc="clips", leave=False):
        rng = np.random.default_rng([seed, number])
        clips.append(list(transcode(islice(source.clip(rng), frames), coding)))
    return clips


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


@dataclass(frozen=True)
class Score:
    """What a method reached on clips of one length."""

    by_frame: list[Confusion]  # at each frame number, over all clips
    context_rms: list[float]  # root mean square of the state's feature at each frame number

    def total(self) -> Confusion:
        """Return the confusion over all frames."""
        return self.over(range(len(self.by_frame)))

    def late(self) -> Confusion:
        """Return the confusion over the last quarter of the frames."""
        count = len(self.by_frame)
        return self.over(range(count - max(1, count // 4), count))

    def over(self, frames: range) -> Confusion:
        """Return the confusion over some frame numbers."""
        result = Confusion(len(self.by_frame[0].counts))
        for number in frames:
            result.counts += self.by_frame[number].counts
        return result


def score(
    model: TWNet,
    clips: list[Clip],
    method: str,
    device: str = "cpu",
    precision: str = "fp32",
    every: int = 1,
    motion: str = "auto",
) -> Score:
    """Score a method on clips of one length, at the model's own input size.

    Of ``every`` frames the first is labelled and scored; the others are skipped.
    """
    segmenter = engine(model, method, device, precision, motion)
    by_frame = [Confusion(len(model.config.classes)) for _ in clips[0]]
    square = np.zeros(len(by_frame))
    for clip in clips:
        segmenter.reset()
        for number, (frame, truth) in enumerate(clip):
            go_on = segmenter.skip if number % every else segmenter.step
            for result in go_on(frame):
                by_frame[number].add(truth, result.labels)
            if segmenter.state is not None:
                square[number] += float(segmenter.state.context.float().square().mean())
    return Score(by_frame, list(np.sqrt(square / len(clips))))
