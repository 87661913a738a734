"""Both training steps and the evaluation, from a data set's name to a run folder."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from twnet_ros.learn.clip import Coding
from twnet_ros.learn.evaluate import make_clips
from twnet_ros.learn.key import train_key
from twnet_ros.learn.loop import Schedule
from twnet_ros.learn.nonkey import train_nonkey
from twnet_ros.learn.rollout import Rollout
from twnet_ros.learn.source import Labelled, Source, StillSource, StreetSource
from twnet_ros.learn.still import DataError, Stills
from twnet_ros.net import Config, TWNet, load_checkpoint, load_pretrained, publication
from twnet_ros.segment.device import find_device
from twnet_ros.segment.palette import CAMVID, CITYSCAPES, ClassSet, read_class_set
from twnet_ros.segment.segmenter import find_model

CLASS_SETS = {"camvid": CAMVID, "cityscapes": CITYSCAPES}
MOVERS = ("car", "pedestrian", "cyclist", "person", "rider", "bicycle", "motorcycle", "truck")
TRAINING_SEEDS = range(0, 10_000)  # of procedural streets
HELD_OUT_SEEDS = range(1_000_000, 1_000_100)


@dataclass(frozen=True)
class Data:
    """What to train on and what to score on."""

    classes: ClassSet
    source: Source
    held_out: Source | None  # None where nothing was held out
    size: tuple[int, int]  # (width, height) of clips

    def held_out_pictures(self, limit: int = 48) -> list[Labelled]:
        """Return pictures to score on: evenly spread stills, or streets of held-out seeds."""
        if isinstance(self.held_out, StillSource):
            stills = self.held_out.stills
            chosen = np.linspace(0, len(stills) - 1, min(limit, len(stills))).astype(int)
            return [stills.read(int(index)) for index in chosen]
        if self.held_out is None:
            return []
        return [self.held_out.sample(np.random.default_rng([11, i])) for i in range(limit)]


def open_data(name: str, classes: str, size: tuple[int, int], hold_out: list[str]) -> Data:
    """Open ``streets`` (procedural) or a folder of stills; DataError says what is missing.

    ``classes`` is a name of CLASS_SETS or a file for ``read_class_set``; ``size`` is that of
    clips; for ``hold_out`` see ``Stills.split``. Procedural streets have held-out seeds of their
    own.
    """
    chosen = CLASS_SETS.get(classes) or read_class_set(Path(classes))
    if name == "streets":
        if chosen is not CITYSCAPES:
            raise DataError(f"procedural streets have the classes cityscapes, not {classes}")
        streets = StreetSource(TRAINING_SEEDS, size)
        return Data(chosen, streets, StreetSource(HELD_OUT_SEEDS, size), size)
    stills = Stills(Path(name), len(chosen.names))
    movers = tuple(i for i, label in enumerate(chosen.names) if label in MOVERS)
    training, held = stills.split(hold_out)
    if not len(training):
        raise DataError(f"{name}: nothing is left to train on beside {', '.join(hold_out)}")
    source = StillSource(training, movers, size)
    return Data(chosen, source, StillSource(held, movers, size) if len(held) else None, size)


def step_one(
    data: Data,
    schedule: Schedule,
    run: Path,
    *,
    backbone: str,
    layer: int,
    input_size: tuple[int, int],
    crop: tuple[int, int],
    scale: tuple[float, float],
    init: str | None,
    pretrained: Path | None,
    device: str,
) -> None:
    """Train the key-frame CNN of a backbone.

    It starts from the tensors of the checkpoint ``init`` that fit, or with its encoder from the
    published file ``pretrained``, whose normalisation of pictures it then takes over.
    """
    torch.manual_seed(schedule.seed)
    config = Config(backbone, layer, data.classes.names, data.classes.colors, input_size)
    if pretrained:
        published = publication(backbone)
        config = replace(config, mean=published.mean, std=published.std)
    model = TWNet(config)
    if pretrained:
        load_pretrained(model, pretrained)
    if init:
        donor = load_checkpoint(find_model(init))
        if donor.config.backbone != backbone:
            raise DataError(f"{init}: expected a {backbone} network, got {donor.config.backbone}")
        _start_from(model, donor)
    pictures = data.held_out_pictures()
    place = str(find_device(device))
    train_key(model, data.source, pictures, schedule, crop, run, place, scale)


def step_two(
    data: Data, schedule: Schedule, rollout: Rollout, run: Path, *, model: str, device: str
) -> None:
    """Train the non-key-frame CNN beside the key-frame CNN of the checkpoint ``model``."""
    network = load_checkpoint(find_model(model))
    if network.config.classes != data.classes.names:
        raise DataError(
            f"{model}: expected the data's {len(data.classes.names)} classes, "
            f"got {len(network.config.classes)}"
        )
    held_out = data.held_out
    clips = {}
    if held_out:
        clips["gop_12"] = make_clips(held_out, 6, 24, Coding(bits_per_pixel=0.3), 1)
        clips["far"] = make_clips(held_out, 2, 101, Coding(gop=600, bits_per_pixel=0.3), 2)
    train_nonkey(network, data.source, clips, schedule, rollout, run, str(find_device(device)))


def _start_from(model: TWNet, donor: TWNet) -> None:
    """Copy every tensor of the donor that has the same name and shape."""
    own = model.state_dict()
    fitting = {k: t for k, t in donor.state_dict().items() if k in own and own[k].shape == t.shape}
    own.update(fitting)
    model.load_state_dict(own)
