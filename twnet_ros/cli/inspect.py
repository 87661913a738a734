"""The sub-command ``twnet inspect``."""

import argparse
import json
from pathlib import Path

import numpy as np

from twnet_ros.cli.argument import Commands, add_clip, command, opener, refuse_filled


def inspect(options: argparse.Namespace) -> None:
    """Show what the codec knows about each frame."""
    from tqdm import tqdm

    from twnet_ros.segment import inspection
    from twnet_ros.segment.file import whole

    refuse_filled("--dump", options.dump, "*.npz")
    if options.dump:
        options.dump.mkdir(parents=True, exist_ok=True)
    rows = []
    for found in tqdm(inspection.inspect(options.clip, opener(options)), unit="frame", delay=2):
        row = found.summary()
        rows.append(row)
        if not options.json:
            if len(rows) == 1:
                tqdm.write("  ".join(row))
            tqdm.write("  ".join(str(value).rjust(len(name)) for name, value in row.items()))
        if options.dump:
            target = options.dump / f"frame_{found.frame.index:05d}.npz"
            with whole(target) as path, path.open("wb") as file:
                np.savez_compressed(
                    file,
                    type=found.frame.kind.value,
                    motion=found.motion,
                    coded=found.coded,
                    residual=found.residual,
                )
    if options.json:
        print(json.dumps(rows))


def describe(commands: Commands) -> None:
    """Describe the sub-command."""
    made = command(commands, inspect, "inspect drive.avi --dump side_data/")
    add_clip(made)
    add = made.add_argument
    add("--json", action="store_true", help="print one JSON list instead of a table")
    add("--dump", type=Path, metavar="DIR", help="write frame_00000.npz … with pixel-wise data")
