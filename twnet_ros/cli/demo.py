"""The sub-command ``twnet demo``."""

import argparse
from pathlib import Path

from twnet_ros.cli.argument import Commands, command, require_ros


def demo(options: argparse.Namespace) -> None:
    """Stream a drive through a real segment node and show what comes of it."""
    require_ros("the demo")
    from twnet_ros.cli.demonstration import demonstrate

    print(demonstrate(options.video, options.out))


def describe(commands: Commands) -> None:
    """Describe the sub-command."""
    add = command(commands, demo, "demo drive.mp4").add_argument
    add("video", type=Path, nargs="?", metavar="FILE", help="video; without one, a rendered drive")
    add("--out", type=Path, default=Path("demo"), help="folder to write to, default: demo")
