"""The sub-command ``twnet streets``."""

import argparse
from pathlib import Path

from twnet_ros.cli.argument import Commands, command, count, number, refuse_filled, size


def streets(options: argparse.Namespace) -> None:
    """Render a procedural street drive."""
    from twnet_ros.learn.streets import write_street

    for name in ("frames", "labels"):
        refuse_filled("OUT_DIR", options.out / name, "*.png")
    width, height = options.size
    write_street(options.out, options.frames, width, height, options.seed)


def describe(commands: Commands) -> None:
    """Describe the sub-command."""
    add = command(
        commands, streets, "streets drive/ --frames 120 --size 1024x512 --seed 7"
    ).add_argument
    add("out", type=Path, metavar="OUT_DIR", help="folder to write frames/ and labels/ to")
    add("--frames", type=count, default=120, help="how many, default: %(default)s")
    add("--size", type=size, default=(1024, 512), metavar="WxH", help="default: 1024x512")
    add("--seed", type=number, default=0, help="which street, default: %(default)s")
