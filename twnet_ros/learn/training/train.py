"""Both training steps, from a data set to a run folder."""

from dataclasses import replace
from pathlib import Path

import torch

from twnet_ros.learn.data.clip import Coding
from twnet_ros.learn.data.dataset import Data, held_out_pictures
from twnet_ros.learn.data.source import SnippetSource
from twnet_ros.learn.data.still import DataError
from twnet_ros.learn.evaluation.evaluate import make_clips
from twnet_ros.learn.training import parallel
from twnet_ros.learn.training.key import train_key
from twnet_ros.learn.training.loop import Schedule, choose_precision
from twnet_ros.learn.training.nonkey import train_nonkey
from twnet_ros.learn.training.rollout import Rollout
from twnet_ros.net import Config, TWNet, load_checkpoint, load_pretrained, publication
from twnet_ros.segment.device import find_device
from twnet_ros.segment.network import find_model

CHOICE = 101  # seed of the clips that checkpoints are chosen by: not those of ``twnet evaluate``


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
    encoder_rate: float,
    device: str,
    precision: str,
    workers: int,
) -> None:
    """Train the key-frame CNN of a backbone.

    It starts from the tensors of the checkpoint ``init`` that fit, wherever that is cut, or with
    its encoder from the published file ``pretrained``, whose tensors learn at the share
    ``encoder_rate`` of the schedule's rate. Either's normalisation of pictures is taken over.
    """
    if init and pretrained:
        raise ValueError(f"expected init or pretrained, got both: {init} and {pretrained}")
    multiple = TWNet.SIZE_MULTIPLE
    if any(side % multiple for side in crop):
        # Features of other crops would be out of place; where the network runs, it pads.
        raise ValueError(
            f"expected a crop of multiples of {multiple} pixels, got {crop[0]}x{crop[1]}"
        )
    torch.manual_seed(schedule.seed)
    config = Config(
        backbone,
        layer,
        data.classes.names,
        data.classes.colors,
        input_size,
        correction="rga" if layer < 3 else "none",
    )
    donor = load_checkpoint(find_model(init)) if init else None
    if donor and donor.config.backbone != backbone:
        raise DataError(f"{init}: expected a {backbone} network, got {donor.config.backbone}")
    if given := donor.config if donor else publication(backbone) if pretrained else None:
        config = replace(config, mean=given.mean, std=given.std)
    model = TWNet(config)
    loaded = load_pretrained(model, pretrained) if pretrained else frozenset()
    if donor:
        _start_from(model, donor)
    source, held_out = data.training(), data.held_out()
    pictures = held_out_pictures(held_out if parallel.is_first() else None)
    place = str(find_device(device))
    schedule = replace(schedule, precision=choose_precision(precision, config, place, run))
    train_key(
        model, source, pictures, schedule, crop, run, place, scale, loaded, encoder_rate, workers
    )


def step_two(
    data: Data,
    schedule: Schedule,
    rollout: Rollout,
    run: Path,
    *,
    model: str,
    layer: int | None,
    correction: str | None,
    init: str | None,
    device: str,
    precision: str,
    workers: int,
) -> None:
    """Train the non-key-frame CNN beside the key-frame CNN of the checkpoint ``model``.

    It starts from copies of that and a least-squares correction, or from what the non-key step of
    the checkpoint ``init`` was trained to; DataError where that is of another kind. ``layer`` cuts
    the key-frame CNN elsewhere, ``correction`` is one of CORRECTIONS; None leaves them those of
    ``init`` or ``model``, but that what was cut at layer 3, which has none, is corrected with
    attention elsewhere.
    """
    given = data.load_model(model)
    donor = data.load_model(init) if init else None
    own = (donor or given).config
    cut = layer or own.layer
    kept = own.correction if own.layer < 3 else "rga"
    network = given.recut(cut, correction or (kept if cut < 3 else "none"))
    if init and donor:
        _go_on(network, donor, init)
        rollout = replace(rollout, fit=0)
    if not network.corrects and rollout.consistency != Rollout.consistency:
        raise DataError("--consistency: expected a correction, whose loss it weighs, got none")
    source, held_out = data.training(), data.held_out()
    clips = {}
    if held_out and parallel.is_first():
        # Of a real clip perhaps the last frame alone is labelled: more of them, of one GOP.
        real = isinstance(held_out, SnippetSource)
        near, far = Coding(bits_per_pixel=0.3), Coding(gop=600, bits_per_pixel=0.3)
        clips["gop_12"] = make_clips(held_out, *((12, 12) if real else (6, 24)), near, CHOICE)
        clips["far"] = make_clips(held_out, 12 if real else 4, 101, far, CHOICE + 1)
    place = str(find_device(device))
    chosen = choose_precision(precision, network.config, place, run)
    schedule = replace(schedule, precision=chosen)
    train_nonkey(network, source, clips, schedule, rollout, run, place, workers)


def _go_on(model: TWNet, donor: TWNet, name: str) -> None:
    """Give a model's untrained non-key step what another one was trained to, if it is of its kind.

    That is the correction, and in head and tail the difference from the donor's key-frame CNN: so
    the whole step where both have the same one, and where the model's was trained on the best
    start that we know of (docs/RESULTS.md).
    """
    kinds = [(m.config.backbone, m.config.layer, m.corrects, m.attends) for m in (model, donor)]
    if kinds[0] != kinds[1]:
        wanted, own = (
            f"{m.config.backbone}, layer {m.config.layer}, {m.config.correction}"
            for m in (model, donor)
        )
        raise DataError(f"{name}: expected a non-key step of {wanted}, got one of {own}")
    if donor.corrects and not donor.cfr.predict.weight.any():
        raise DataError(f"{name}: expected a model of the second step, got one of the first")
    if model.corrects:
        model.cfr.load_state_dict(donor.cfr.state_dict())
    if model.attends:
        model.rga.load_state_dict(donor.rga.state_dict())
    for part in ("head", "tail"):
        trained, copied = donor.get_submodule(part), donor.keyframe.get_submodule(part)
        with torch.no_grad():
            for key, tensor in model.get_submodule(part).named_parameters():
                apart = tensor - copied.get_parameter(key)  # the two key-frame CNNs
                tensor.copy_(trained.get_parameter(key) + apart)


def _start_from(model: TWNet, donor: TWNet) -> None:
    """Copy every tensor of the donor's key-frame CNN that has the same place and shape."""
    own = model.keyframe.uncut()
    with torch.no_grad():
        for name, tensor in donor.keyframe.uncut().items():
            if name in own and own[name].shape == tensor.shape:
                own[name].copy_(tensor)
