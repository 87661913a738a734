"""Step 1: training the key-frame CNN on labelled pictures."""

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from twnet_ros.learn.data.augment import SCALE, augment
from twnet_ros.learn.data.image import normalise
from twnet_ros.learn.data.source import Source
from twnet_ros.learn.evaluation.picture import score_pictures
from twnet_ros.learn.training import parallel
from twnet_ros.learn.training.loop import Losses, Schedule, Scores, mixed_precision, optimise
from twnet_ros.learn.training.loss import class_weights, segmentation_loss
from twnet_ros.net import TWNet
from twnet_ros.segment.input import fit
from twnet_ros.segment.picture import Picture


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Augmented crops, each a function of the seed and its own number alone.

    ``scale`` is relative to pictures that are scaled to fit ``input_size`` (width, height), as
    video is where the network runs.
    """

    def __init__(
        self,
        source: Source,
        input_size: tuple[int, int],
        size: tuple[int, int],
        seed: int,
        scale: tuple[float, float] = SCALE,
    ) -> None:
        self.source, self.input_size, self.size = source, input_size, size
        self.seed, self.scale = seed, scale

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self.seed, number])
        rgb, labels = self.source.sample(rng)
        height, width = labels.shape
        fitted = fit((width, height), self.input_size)[0] / width
        scale = fitted * self.scale[0], fitted * self.scale[1]
        rgb, labels = augment(rgb, labels, self.size, rng, scale)
        return torch.from_numpy(rgb), torch.from_numpy(labels)


def histogram(source: Source, classes: int, count: int = 200) -> NDArray[np.int64]:
    """Count the pixels of each class in ``count`` pictures drawn at random."""
    total = np.zeros(256, np.int64)
    for index in tqdm(range(count), desc="class frequencies", leave=False):
        _, labels = source.sample(np.random.default_rng([7, index]))
        total += np.bincount(labels.ravel(), minlength=256)
    return total[:classes]


def train_key(
    model: TWNet,
    source: Source,
    held_out: list[tuple[Picture, Picture]],
    schedule: Schedule,
    crop: tuple[int, int],
    run: Path,
    device: str = "cpu",
    scale: tuple[float, float] = SCALE,
    pretrained: Collection[str] = (),
    encoder_rate: float = 1.0,
    workers: int = 1,
) -> None:
    """Train the key-frame CNN of ``model`` on crops of size (width, height).

    Pictures are scaled to fit the network's input size, and by a random factor that ``scale``
    bounds, before they are cropped. The tensors that ``pretrained`` names learn at the share
    ``encoder_rate`` of the schedule's rate. So many ``workers`` make crops.
    """
    own = parallel.share(schedule.batch)
    together = schedule.batch if torch.device(device).type == "cuda" else len(own)
    if together < 2:  # of which the pyramid's coarsest level has a pixel each
        raise ValueError(f"expected two pictures or more for a batch norm, got {together}")
    torch.manual_seed(schedule.seed)
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parallel.join_norms(model.keyframe, device)
    weights = class_weights(histogram(source, len(model.config.classes))).to(device)

    def batches(start: int) -> Iterator[object]:
        crops = Crops(source, model.config.input_size, crop, schedule.seed, scale)
        shares = [
            list(range(step * schedule.batch + own.start, step * schedule.batch + own.stop))
            for step in range(start, schedule.iterations)
        ]
        return iter(DataLoader(crops, batch_sampler=shares, num_workers=workers))

    def losses(batch: object) -> Losses:
        rgb, labels = (part.to(device) for part in batch)  # type: ignore[attr-defined]
        model.train()
        with mixed_precision(device, schedule.precision):
            logits, _ = model.key(normalise(rgb, model.config))
        return {"loss": segmentation_loss(logits, labels, weights)}

    def validate() -> Scores:
        model.copy_key_parts()  # the checkpoint that follows can run non-key steps, uncorrected
        return {"score": score_pictures(model, held_out, device)} if held_out else {}

    named = {f"keyframe.{name}": p for name, p in model.keyframe.named_parameters()}
    groups = [(1.0, [p for name, p in named.items() if name not in pretrained])]
    if pretrained:
        groups.append((encoder_rate, [p for name, p in named.items() if name in pretrained]))
    optimise(model, groups, schedule, batches, losses, validate, run)
