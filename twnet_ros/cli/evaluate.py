"""The sub-command ``twnet evaluate``."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from twnet_ros.cli.argument import (
    BAGS,
    Commands,
    add_data,
    add_motion,
    add_topic,
    command,
    count,
    number,
    positive,
    refuse_given,
    refuse_topic,
    require,
)
from twnet_ros.codec import CodecError

if TYPE_CHECKING:  # torch is not needed to describe the command
    from twnet_ros.learn.data.dataset import Data
    from twnet_ros.learn.evaluation.trial import Trial


def open_bag(options: argparse.Namespace) -> tuple[Data, Trial] | None:
    """Open what is named as data, if that is a bag: its classes, and the drive in it."""
    path = Path(options.data)
    if not (path.suffix in BAGS or (path / "metadata.yaml").is_file()):
        refuse_topic(options, options.data)
        if options.labels_topic:
            raise CodecError(f"--labels-topic: expected a bag, got {options.data}")
        return None
    from twnet_ros import bag
    from twnet_ros.learn.data.dataset import CLASS_SETS, Data
    from twnet_ros.learn.data.still import DataError
    from twnet_ros.learn.evaluation.drive import drive_trial
    from twnet_ros.segment.palette import CITYSCAPES, read_class_set

    refuse_given(options, options.making_clips, "none, as all of a bag's drive is scored")
    if "interp_mv" in options.methods:
        raise DataError("interp_mv: expected clips that are made of the data, got a bag")
    classes = CITYSCAPES
    if options.classes:
        classes = CLASS_SETS.get(options.classes) or read_class_set(Path(options.classes))
    read = partial(bag.read_packets, topic=options.topic)
    labels = bag.read_labels(path, options.labels_topic)
    trial, size = drive_trial(path, read, labels, options.every)
    return Data(classes, size, lambda split: None), trial


def evaluate(options: argparse.Namespace) -> None:
    """Score models and what they are held against on held-out clips."""
    from twnet_ros.learn.data.dataset import open_data
    from twnet_ros.learn.evaluation.report import report

    if options.out:
        require("--out", "matplotlib")
    if options.distance:
        seed = {"seed": options.making_clips["seed"]}
        refuse_given(options, seed, "no --distance, beside which nothing is drawn")
    opened = open_bag(options)
    if opened:
        data, trial = opened
    else:
        data = open_data(options.data, options.classes, options.clip_size, options.hold_out)
        trial = None
    report(
        options.models,
        data,
        split=options.split,
        clips=options.clips,
        frames=options.frames,
        gop=options.gop,
        distances=options.distance,
        cache=options.cache,
        bits_per_pixel=options.bits_per_pixel,
        every=options.every,
        motion=options.motion,
        interval=options.key_interval,
        methods=options.methods,
        seed=options.seed,
        device=options.device,
        precision=options.precision,
        out=options.out,
        trial=trial,
    )


def describe(commands: Commands) -> None:
    """Describe the sub-command."""
    scored = command(commands, evaluate, "evaluate streets-mobilenetv1-layer1 --data streets")
    scored.add_argument("models", nargs="+", metavar="MODEL", help="shipped name or file")
    text = "write report.md, report.json and plots to this folder"
    scored.add_argument("--out", type=Path, metavar="DIR", help=text)
    add_data(scored)
    add_topic(scored)
    text = "of the labels in a bag; default: the only one that is called labels"
    scored.add_argument("--labels-topic", default="", metavar="NAME", help=text)
    scored.add_argument("--precision", default="auto", help="auto, fp32, bf16 or (CUDA) fp16")
    scored.add_argument(
        "--split", choices=("val", "test"), default="val", help="default: %(default)s"
    )
    text = "how many, default: 8, or one for every labelled frame of real sequences"
    scored.add_argument("--clips", type=count, help=text)
    text = "of each clip that is made of stills or streets, default: 36"
    scored.add_argument("--frames", type=count, help=text)
    scored.add_argument(
        "--distance",
        type=number,
        nargs="+",
        default=[],
        metavar="N",
        help="from the key frame to the labelled frames of real sequences; default: at random",
    )
    text = "where clips of real sequences are kept, default: beside the data, in DATA.clips"
    scored.add_argument("--cache", type=Path, metavar="DIR", help=text)
    scored.add_argument(
        "--gop",
        type=count,
        default=12,
        help="frames from I-frame to I-frame, default: %(default)s",
    )
    scored.add_argument(
        "--bits-per-pixel", type=positive, default=0.3, help="of the bitrate, default: %(default)s"
    )

    add_motion(scored)
    scored.add_argument(
        "--methods",
        nargs="+",
        default=["per_frame", "twnet", "adaptive", "warping", "repeat"],
        metavar="NAME",
        help="also unfused, nkfc, prop_mv, dff, interp_mv; default: %(default)s",
    )
    text = "from one key step of adaptive to the next, at most; default: the node's"
    scored.add_argument("--key-interval", type=count, metavar="FRAMES", help=text)
    scored.add_argument(
        "--every",
        type=count,
        default=1,
        metavar="N",
        help="label one of N frames and skip the others, default: %(default)s",
    )
    scored.add_argument("--seed", type=number, default=1, help="of the draw, default: %(default)s")
    making = ["clips", "frames", "gop", "bits_per_pixel", "clip_size", "seed"]
    making += ["distance", "cache", "split", "hold_out"]
    scored.set_defaults(making_clips={name: scored.get_default(name) for name in making})
