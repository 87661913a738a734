"""The sub-command ``twnet segment``."""

import argparse
import json
from pathlib import Path

from twnet_ros.cli.argument import (
    Commands,
    add_clip,
    add_model,
    add_motion,
    command,
    count,
    levels,
    opener,
    probability,
    refuse_clip,
    refuse_filled,
)


def segment(options: argparse.Namespace) -> None:
    """Label every frame of a clip."""
    from tqdm import tqdm

    from twnet_ros.segment import Segmenter, key_policy, read_remapping
    from twnet_ros.segment.recording import record

    read = opener(options)
    refuse_clip(options)
    refuse_filled("--labels", options.labels, "*.png")
    segmenter = Segmenter.load(
        options.model,
        options.device,
        options.precision,
        options.input_size,
        options.per_frame,
        key_policy(
            options.key_policy, options.key_interval, options.key_intra, options.key_residual
        ),
        options.motion,
    )
    summary = record(
        options.clip,
        segmenter,
        overlay=options.output,
        labels=options.labels,
        progress=lambda frames, total: tqdm(frames, total=total, unit="frame"),
        read=read,
        remapping=read_remapping(options.class_map, segmenter.classes)
        if options.class_map
        else None,
    )
    print(json.dumps(summary))


def describe(commands: Commands) -> None:
    """Describe the sub-command."""
    made = command(commands, segment, "segment drive.mp4 -o overlay.mp4")
    add = made.add_argument
    add_clip(made)
    add("-o", "--output", type=Path, metavar="OVERLAY.mp4", help="write the overlay as a video")
    text = "folder without PNG files to write class ids into, as 00000.png …"
    add("--labels", type=Path, metavar="DIR", help=text)
    text = "label in other classes: driving, cityscapes_categories, mapillary or a JSON file"
    add("--class-map", metavar="CLASSES", help=text)
    add_model(made)
    add("--per-frame", action="store_true", help="take the key step for every frame")
    add_motion(made)
    add(
        "--key-policy",
        choices=("codec", "interval", "adaptive"),
        default="adaptive",
        help="frames that take the key step: I-frames alone (codec), or others, too, by the "
        "bounds below; default: %(default)s",
    )
    text = "most labelled frames from one key step to the next, unless codec, default: %(default)s"
    add("--key-interval", type=count, default=6, metavar="FRAMES", help=text)
    text = "share of blocks without a vector, unless codec, default: %(default)s"
    add("--key-intra", type=probability, default=0.5, metavar="SHARE", help=text)
    text = "mean luma residual, for adaptive, default: %(default)s"
    add("--key-residual", type=levels, default=12.0, metavar="LEVELS", help=text)
