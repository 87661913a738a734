"""The sub-command ``twnet chaos``."""

import argparse
import json
from pathlib import Path

from twnet_ros.cli.argument import (
    Commands,
    add_model,
    command,
    number,
    probability,
    refuse_filled,
    refuse_given,
)


def chaos(options: argparse.Namespace) -> None:
    """Damage a clip's packets at random and tell what is noticed and what is published."""
    from twnet_ros.segment.chaos import FAULTS, run

    refuse_filled("--labels", options.labels, "*.png")
    if not options.labels:
        refuse_given(options, options.labelling, "--labels, which it is for")
    summary = run(
        options.clip,
        {name: getattr(options, name) for name in FAULTS},
        options.seed,
        labels=options.labels,
        model=options.model,
        device=options.device,
        precision=options.precision,
        input_size=options.input_size,
    )
    print(json.dumps(summary))


def describe(commands: Commands) -> None:
    """Describe the sub-command."""
    made = command(commands, chaos, "chaos drive.mp4 --loss 0.05 --flip 0.01 --seed 1")
    add = made.add_argument
    add("clip", type=Path, metavar="FILE", help="video file")
    for fault, done in (
        ("loss", "never arrives"),
        ("duplicate", "arrives twice"),
        ("reorder", "changes places with the next"),
        ("truncate", "is cut anywhere"),
        ("flip", "has one bit inverted"),
    ):
        text = f"probability that a packet {done}, default: %(default)s"
        add(f"--{fault}", type=probability, default=0.0, metavar="P", help=text)
    add("--seed", type=number, required=True, metavar="N", help="which packets are hit, and where")
    text = "label what comes out intact, too: class ids as 00000.png …, by the frame's number"
    add("--labels", type=Path, metavar="DIR", help=text)
    add_model(made)
    labelling = ("model", "device", "precision", "input_size")
    made.set_defaults(labelling={name: made.get_default(name) for name in labelling})
