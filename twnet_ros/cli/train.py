"""The sub-command ``twnet train``."""

import argparse
from pathlib import Path

from twnet_ros.cli.argument import (
    Commands,
    add_data,
    command,
    count,
    number,
    positive,
    probability,
    require,
    seed,
    size,
    weight,
    zoom,
)
from twnet_ros.learn.training.recipe import RecipeParser, record_recipe

ENCODER_RATE = 0.1  # of the schedule's, for what is pre-trained


def train(options: argparse.Namespace) -> None:
    """Run one of the two training steps."""
    require("training", "PyYAML", "tensorboard")
    from twnet_ros.learn.training import parallel

    with parallel.processes(options.device) as device:
        try:
            _train(options, device, parallel.is_first())
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):  # torch has no type for it
                raise
            raise ChildProcessError(
                "a process that makes pictures or clips ended, perhaps for want of memory "
                f"({error}); the same command goes on from what {options.out} holds"
            ) from error


def _train(options: argparse.Namespace, device: str, first: bool) -> None:
    from twnet_ros.learn.data.dataset import open_data
    from twnet_ros.learn.training.loop import Schedule, resumes
    from twnet_ros.learn.training.rollout import Rollout
    from twnet_ros.learn.training.train import step_one, step_two

    if options.step == "key":
        _check_key(options)
    data = open_data(options.data, options.classes, options.clip_size, options.hold_out)
    if first:
        record_recipe(options, resumes(options.out))
    schedule = Schedule(
        options.iterations,
        options.batch,
        options.rate,
        validate_every=options.validate_every,
        seed=options.seed,
    )
    if options.step == "key":
        least, greatest = options.scale
        step_one(
            data,
            schedule,
            options.out,
            backbone=options.backbone,
            layer=options.layer,
            input_size=options.input_size or options.clip_size,
            crop=options.crop,
            scale=(least, greatest),
            init=options.init,
            pretrained=options.pretrained,
            encoder_rate=options.encoder_rate,
            device=device,
            precision=options.precision,
            workers=options.workers,
        )
    else:
        rollout = Rollout(consistency=options.consistency)
        step_two(
            data,
            schedule,
            rollout,
            options.out,
            model=options.model,
            layer=options.layer,
            correction=options.correction,
            init=options.init,
            device=device,
            precision=options.precision,
            workers=options.workers,
        )


def _check_key(options: argparse.Namespace) -> None:
    least, greatest = options.scale
    if least > greatest:
        raise ValueError(f"--scale: expected LEAST up to GREATEST, got {least} {greatest}")
    if options.encoder_rate != ENCODER_RATE and not options.pretrained:
        raise ValueError("--encoder-rate: expected --pretrained, whose tensors it is for")


def describe(commands: Commands) -> None:
    """Describe the sub-command."""
    steps = command(commands, train, "train key --data streets --out runs/key")
    kinds = steps.add_subparsers(
        dest="step", required=True, metavar="key|nonkey", parser_class=RecipeParser
    )
    example, text = "train key --data streets --out runs/key", "on labelled pictures"
    key = command(kinds, train, example, "key", f"Step 1: train the key-frame CNN {text}.")
    _add_training(key, iterations=5000, batch=8, rate=3e-3)
    key.add_argument(
        "--backbone", default="mobilenetv1", metavar="NAME", help="default: %(default)s"
    )
    key.add_argument("--layer", type=int, choices=(1, 2, 3), default=1, help="context layer")
    text = "training crops, of pictures scaled to the input size, default: 352x288"
    key.add_argument("--crop", type=size, default=(352, 288), metavar="WxH", help=text)
    key.add_argument(
        "--scale",
        type=zoom,
        nargs=2,
        default=[0.7, 1.6],
        metavar=("LEAST", "GREATEST"),
        help="random factors on the input size, default: %(default)s",
    )
    key.add_argument("--input-size", type=size, metavar="WxH", help="default: the clip size")
    start = key.add_mutually_exclusive_group()
    start.add_argument("--init", metavar="MODEL", help="start from this model's fitting tensors")
    text = "ImageNet weights of the encoder, .pth (torchvision's) or .safetensors (timm's)"
    start.add_argument("--pretrained", type=Path, metavar="FILE", help=text)
    text = "share of the rate for the tensors of --pretrained, default: %(default)s"
    key.add_argument(
        "--encoder-rate", type=probability, default=ENCODER_RATE, metavar="SHARE", help=text
    )
    example = "train nonkey --data streets --model runs/key/model.safetensors --out runs/nonkey"
    text = "Step 2: train the non-key-frame CNN along compressed clips."
    nonkey = command(kinds, train, example, "nonkey", text)
    _add_training(nonkey, iterations=3600, batch=4, rate=3e-4)
    nonkey.add_argument("--model", required=True, help="checkpoint of step 1, or 2")
    text = "where to cut the key-frame CNN, default: that of --init or --model"
    nonkey.add_argument("--layer", type=int, choices=(1, 2, 3), help=text)
    nonkey.add_argument(
        "--correction",
        choices=("none", "cfr", "rga", "fusion"),
        help="of the warped context: none, CFR alone, CFR with RGA, or that and fused logits; "
        "default: that of --init or --model",
    )
    nonkey.add_argument("--consistency", type=weight, default=1.0, help="lambda of equation 8")
    text = "go on with what this model's non-key step was trained to, default: begin anew"
    nonkey.add_argument("--init", metavar="MODEL", help=text)


def _add_training(
    made: argparse.ArgumentParser, *, iterations: int, batch: int, rate: float
) -> None:
    add_data(made)
    add = made.add_argument
    text = "YAML file with options as here, which those of the command line override"
    add("--config", type=Path, metavar="FILE", help=text)
    add("--out", type=Path, required=True, metavar="RUN", help="run folder; an old one resumes")
    add("--iterations", type=number, default=iterations, help="default: %(default)s")
    add("--batch", type=count, default=batch, help="default: %(default)s")
    add("--rate", type=positive, default=rate, help="peak learning rate, default: %(default)s")
    add(
        "--validate-every",
        type=count,
        default=500,
        metavar="N",
        help="score the model on held-out data every N iterations, default: %(default)s; clips of "
        "the second step begin anew then",
    )
    add(
        "--precision",
        choices=("auto", "fp32", "bf16"),
        default="auto",
        help="number format; auto: what the device trains faster in, which of a CPU is measured",
    )
    text = "processes that make pictures or clips, default: %(default)s; a GPU wants more"
    add("--workers", type=count, default=1, metavar="N", help=text)
    add("--seed", type=seed, default=0, help="of data and initialisation")
