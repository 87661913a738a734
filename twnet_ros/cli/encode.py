"""The sub-command ``twnet encode``."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twnet_ros.cli.argument import Commands, bitrate, command, count, frame_rate


def encode(options: argparse.Namespace) -> None:
    """Encode a folder of pictures."""
    from tqdm import tqdm

    from twnet_ros.codec import write_clip
    from twnet_ros.segment.picture import find_pictures, read_rgb

    paths = find_pictures(options.frames)

    def frames() -> Iterator[NDArray[np.uint8]]:
        for path in tqdm(paths, unit="frame"):
            yield read_rgb(path)

    rate = {"bitrate": options.bitrate, "crf": options.crf}
    write_clip(
        options.out, frames(), codec=options.codec, gop=options.gop, fps=options.fps, **rate
    )


def describe(commands: Commands) -> None:
    """Describe the sub-command."""
    add = command(
        commands, encode, "encode frames/ drive.avi --codec mpeg4 --bitrate 6M"
    ).add_argument
    add("frames", type=Path, metavar="FRAMES_DIR", help="folder of PNG or JPEG frames, by name")
    add("out", type=Path, metavar="OUT", help="file to write: .mp4, .avi or .mkv")
    add("--codec", choices=("mpeg4", "h264"), default="mpeg4", help="default: %(default)s")
    add(
        "--gop",
        type=count,
        default=12,
        help="frames from one I-frame to the next, default: %(default)s",
    )
    add("--fps", type=frame_rate, default=17.0, help="frames a second, default: %(default)s")
    add("--bitrate", type=bitrate, help="bits a second, as in 6M")
    add("--crf", type=float, help="constant quality, 1 (best) to 51; h264 only")
