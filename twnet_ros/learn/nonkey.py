"""Step 2: training the non-key-frame CNN along compressed clips.

The corrected feature is a recurrence that run time follows for a whole GOP. So clips are not cut
into short roll-outs: each lane of the batch walks along one long clip, a few frames an iteration,
and hands its state, without gradient, to the next iteration. States of every age the network will
meet are trained on, at the price of a short roll-out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from twnet_ros.codec import CodedFrame
from twnet_ros.learn.clip import Coding, transcode
from twnet_ros.learn.evaluate import Clip, score
from twnet_ros.learn.key import histogram
from twnet_ros.learn.loop import Losses, Schedule, mixed_precision, optimise
from twnet_ros.learn.loss import class_weights, consistency_loss, segmentation_loss
from twnet_ros.learn.source import Picture, Source
from twnet_ros.net import Config, FeatureState, TWNet, residual
from twnet_ros.segment.input import Geometry, InputPass
from twnet_ros.segment.palette import UNLABELLED

COPIES_SHARE = 0.1  # of the rate, for head and tail: trained already, and soon forgetful


@dataclass(frozen=True)
class Rollout:
    """How clips are walked along."""

    frames: int = 1  # P-frames an iteration, the length of the gradient's way back
    shortest: int = 4  # P-frames of a clip at least
    longest: int = 40  # and at most
    consistency: float = 10.0  # lambda of equation 8


@dataclass
class Stretch:
    """The next frames of one lane, or of all lanes stacked.

    ``first`` says whether the stretch begins a clip; ``key`` is then its key frame.
    """

    first: Tensor  # (N,) bool
    key: Tensor  # (N, 3, H, W) normalised image
    image: Tensor  # (N, T, 3, H, W)
    motion: Tensor  # (N, T, 2, H, W) input pixels
    residual: Tensor  # (N, T, 3, H, W) 8-bit levels
    labels: Tensor  # (N, T, H, W) train ids


class Lanes(IterableDataset[Stretch]):
    """Batches of stretches, one lane beside the other, each along its own random clips."""

    def __init__(
        self, source: Source, config: Config, rollout: Rollout, lanes: int, seed: tuple[int, int]
    ) -> None:
        self.source, self.config, self.rollout = source, config, rollout
        self.lanes, self.seed = lanes, seed

    def __iter__(self) -> Iterator[Stretch]:
        walks = [self._walk(np.random.default_rng([*self.seed, n])) for n in range(self.lanes)]
        while True:
            parts = [next(walk) for walk in walks]
            fields = Stretch.__dataclass_fields__
            yield Stretch(
                **{name: torch.stack([getattr(p, name) for p in parts]) for name in fields}
            )

    def _walk(self, rng: np.random.Generator) -> Iterator[Stretch]:
        """Walk along one random clip after the other."""
        rollout = self.rollout
        while True:
            length = int(rng.integers(rollout.shortest, rollout.longest + 1)) // rollout.frames
            frames = transcode(self.source.clip(rng), Coding.random(rng, gop=600))
            key, labels = next(frames)
            size = (key.width, key.height)
            geometry = Geometry(size, size, Geometry.of(size, size).padded)
            source = InputPass(geometry, self.config, torch.device("cpu"), torch.float32)
            previous = source.picture(key)
            key_image = source.image(previous, key)[0]
            for stretch in range(length):
                steps = []
                for _ in range(rollout.frames):
                    frame, labels = next(frames)
                    picture = source.picture(frame)
                    steps.append(self._step(source, frame, picture, previous, labels))
                    previous = picture
                parts = (torch.stack(column) for column in zip(*steps, strict=True))
                yield Stretch(torch.tensor(stretch == 0), key_image, *parts)

    @staticmethod
    def _step(
        source: InputPass, frame: CodedFrame, picture: Tensor, previous: Tensor, labels: Picture
    ) -> tuple[Tensor, ...]:
        if frame.motion is None:
            raise RuntimeError(f"frame {frame.index} of a training clip is a second key frame")
        motion = source.motion(frame.motion)
        width, height = source.geometry.padded
        below, right = height - labels.shape[0], width - labels.shape[1]
        padded = np.pad(labels, ((0, below), (0, right)), constant_values=UNLABELLED)
        return (
            source.image(picture, frame)[0],
            motion[0],
            residual(picture, previous, motion)[0],
            torch.from_numpy(padded),
        )


def train_nonkey(
    model: TWNet,
    source: Source,
    held_out: list[Clip],
    schedule: Schedule,
    rollout: Rollout,
    run: Path,
    device: str = "cpu",
) -> None:
    """Fine-tune head, tail, CFR and RGA with equation 8; the key-frame CNN stays as it is.

    ``schedule.batch`` is the number of lanes. Batch norms keep the key-frame CNN's statistics:
    neighbouring frames are no fair sample to estimate them from.
    """
    torch.manual_seed(schedule.seed)
    model.start_finetuning()  # a resumed run's own state then replaces the copies
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = class_weights(histogram(source, len(model.config.classes))).to(device)
    context = torch.empty(0)

    def batches(start: int) -> Iterator[object]:
        lanes = Lanes(source, model.config, rollout, schedule.batch, (schedule.seed, start))
        loader = DataLoader(lanes, batch_size=None, num_workers=1, prefetch_factor=4)
        return islice(iter(loader), schedule.iterations - start)

    def losses(batch: object) -> Losses:
        nonlocal context
        if not isinstance(batch, Stretch):
            raise TypeError(f"expected a Stretch, got {type(batch).__name__}")
        model.eval()
        with mixed_precision(device):
            context = restart(model, batch, context, device)
            total, context = rollout_losses(model, batch, context, weights, device)
        total["loss"] = total["segmentation"] + rollout.consistency * total["consistency"]
        return total

    def validate() -> dict[str, float]:
        if not held_out:
            return {}
        methods = ("twnet", "per_frame")
        return {m: score(model, held_out, m, device).total().miou() for m in methods}

    copies = [*model.head.parameters(), *model.tail.parameters()]
    groups = [(COPIES_SHARE, copies)]
    if model.corrects:
        groups.append((1.0, [*model.cfr.parameters(), *model.rga.parameters()]))
    optimise(model, groups, schedule, batches, losses, validate, run)


@torch.no_grad()
def restart(model: TWNet, batch: Stretch, context: Tensor, device: str) -> Tensor:
    """Return the lanes' contexts (N, C, h, w): the key step's where a clip begins."""
    first = batch.first
    if not first.any():
        return context
    _, state = model.key(batch.key[first].to(device, memory_format=torch.channels_last))
    if first.all():
        return state.context
    context = context.clone()
    context[first.to(device)] = state.context.to(context.dtype)
    return context


def rollout_losses(
    model: TWNet, batch: Stretch, context: Tensor, weights: Tensor, device: str
) -> tuple[Losses, Tensor]:
    """Walk along the stretch; return its mean losses and the last context, detached."""
    state = FeatureState(context, 0)
    steps = batch.image.shape[1]
    segmentation, consistency, norm = [], [], []
    for t in range(steps):
        image = batch.image[:, t].to(device, memory_format=torch.channels_last)
        motion, error = batch.motion[:, t].to(device), batch.residual[:, t].to(device)
        logits, state = model.nonkey(image, motion, error, state)
        with torch.no_grad():
            target = model.keyframe.context(model.keyframe.head(image))
        segmentation.append(segmentation_loss(logits, batch.labels[:, t].to(device), weights))
        consistency.append(consistency_loss(state.context, target))
        norm.append(state.context.detach().square().mean().sqrt())
    means = {
        "segmentation": torch.stack(segmentation).mean(),
        "consistency": torch.stack(consistency).mean(),
        "context_rms": torch.stack(norm).mean(),
    }
    return means, state.context.detach()
