"""What the sub-commands' arguments may be, and those that several share."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twnet_ros.codec import CodecError, OpenVideo, read_packets
from twnet_ros.codec.rate import LEAST_FPS, MOST_FPS

BAGS = (".mcap", ".db3")

Commands = Any  # argparse's own type for sub-commands has no public name


def size(text: str) -> tuple[int, int]:
    """Parse ``WIDTHxHEIGHT``."""
    width, x, height = text.lower().partition("x")
    if not (x and width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT, as in 1024x512, got {text!r}")
    return int(width), int(height)


def even_size(text: str) -> tuple[int, int]:
    """Parse ``WIDTHxHEIGHT`` of a picture whose colours are coded at half its size."""
    width, height = size(text)
    if width % 2 or height % 2:
        raise argparse.ArgumentTypeError(f"expected even sides, as in 512x256, got {text!r}")
    return width, height


def bitrate(text: str) -> int:
    """Parse bits per second, ``6M``, ``800k`` or a plain number."""
    scale = {"k": 1e3, "M": 1e6}.get(text[-1:], 1)
    try:
        rate = float(text[:-1] if scale > 1 else text) * scale
    except ValueError:
        rate = 0.0
    if not 1 <= rate <= 1e12:
        raise argparse.ArgumentTypeError(f"expected a bitrate, as in 6M or 800k, got {text!r}")
    return int(rate)


def count(text: str) -> int:
    """Parse a whole number of 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def number(text: str) -> int:
    """Parse a whole number of 0 or more."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, got {text!r}")
    return int(text)


def seed(text: str) -> int:
    """Parse a number that random ones begin from."""
    found = number(text)
    if found >= 2**32:
        raise argparse.ArgumentTypeError(f"expected a number below 2^32, got {text!r}")
    return found


def probability(text: str) -> float:
    """Parse a number from 0 to 1."""
    return _between(text, 0, 1)


def levels(text: str) -> float:
    """Parse a difference of 8-bit levels."""
    return _between(text, 0, 255)


def frame_rate(text: str) -> float:
    """Parse frames a second, as many as an encoder takes."""
    return _between(text, LEAST_FPS, MOST_FPS)


def zoom(text: str) -> float:
    """Parse a factor on the size of pictures."""
    return _between(text, 0.1, 10)


def weight(text: str) -> float:
    """Parse a number of 0 or more."""
    return _between(text, 0, sys.float_info.max)


def positive(text: str) -> float:
    """Parse a number above 0."""
    if not (value := weight(text)):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def _between(text: str, least: float, greatest: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= greatest:
        end = f" to {greatest:g}" if greatest < sys.float_info.max else " on"
        raise argparse.ArgumentTypeError(f"expected a number from {least:g}{end}, got {text!r}")
    return value


def command(
    commands: Commands,
    function: Callable[[argparse.Namespace], None],
    example: str,
    name: str = "",
    text: str = "",
) -> argparse.ArgumentParser:
    """Add a sub-command that runs ``function``, described by its docstring or a text."""
    made: argparse.ArgumentParser = commands.add_parser(
        name or function.__name__,
        help=text or function.__doc__,
        description=text or function.__doc__,
        epilog=f"example: twnet {example}",
    )
    made.set_defaults(function=function)
    return made


def add_clip(
    made: argparse.ArgumentParser, metavar: str = "CLIP", text: str = "video file or rosbag2"
) -> None:
    """Add the video, which may be in a bag."""
    made.add_argument("clip", type=Path, metavar=metavar, help=text)
    add_topic(made)


def add_topic(made: argparse.ArgumentParser) -> None:
    """Add the choice among the videos of a bag."""
    text = "of the video in a bag; default: the only one that has any"
    made.add_argument("--topic", default="", metavar="NAME", help=text)


def require(use: str, *packages: str) -> None:
    """Raise ImportError, with the way to mend it, unless what a use needs is installed."""
    modules = {"PyYAML": "yaml"}
    missing = [name for name in packages if find_spec(modules.get(name, name)) is None]
    if missing:
        names = " ".join(missing)
        raise ImportError(f"{use}: expected {names}: pip install {names}")


def require_ros(use: str) -> None:
    """Raise ImportError unless ROS 2 is there for a use."""
    if find_spec("rclpy") is None:
        raise ImportError(f"{use}: expected a ROS 2 that is sourced, found no rclpy")


def refuse_clip(options: argparse.Namespace) -> None:
    """Raise CodecError if the output of ``-o`` would take the clip's own place."""
    output = options.output
    if output and output.exists() and options.clip.exists() and output.samefile(options.clip):
        raise CodecError(f"-o: expected another file than the clip, got {output}")


def refuse_filled(option: str, folder: Path | None, files: str) -> None:
    """Raise CodecError if an option names no folder, or one with such files, which would mix."""
    if folder and folder.exists() and not folder.is_dir():
        raise CodecError(f"{option}: expected a folder, got a file, {folder}")
    if folder and any(folder.glob(files)):
        raise CodecError(f"{option}: expected a folder without {files}, got {folder}")


def refuse_given(options: argparse.Namespace, defaults: dict[str, Any], expected: str) -> None:
    """Raise ValueError if an option that counts for nothing here is not at its default."""
    for name, default in defaults.items():
        if getattr(options, name) != default:
            raise ValueError(f"--{name.replace('_', '-')}: expected {expected}")


def opener(options: argparse.Namespace) -> OpenVideo:
    """Return what opens the video of ``add_clip``; rosbags is needed for bags alone."""
    if options.clip.is_dir() or options.clip.suffix in BAGS:
        from twnet_ros import bag

        return partial(bag.read_packets, topic=options.topic)
    refuse_topic(options, options.clip)
    return read_packets


def refuse_topic(options: argparse.Namespace, given: object) -> None:
    """Raise CodecError if a topic is named of what is given, which is no bag."""
    if options.topic:
        raise CodecError(f"--topic: expected a bag, got {given}")


def add_model(made: argparse.ArgumentParser) -> None:
    """Add the model and what it runs on."""
    add = made.add_argument
    add(
        "--model",
        default="camvid-mobilenetv1-layer1",
        help="shipped name or file, default: %(default)s",
    )
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--precision", default="auto", help="auto, fp32, bf16 or (CUDA) fp16")
    add("--input-size", type=size, metavar="WxH", help="what the video is scaled to fit")


def add_motion(made: argparse.ArgumentParser) -> None:
    """Add where motion comes from."""
    made.add_argument(
        "--motion",
        choices=("auto", "codec", "flow", "none", "flownet2", "pwcnet"),
        default="auto",
        help="the codec's vectors, and optical flow where it has none (auto, the default); one of "
        "them only; no motion; optical flow by a network of the package ptlflow",
    )


def add_data(made: argparse.ArgumentParser) -> None:
    """Add the data set and what of it is held out."""
    add = made.add_argument
    text = "'streets', or the folder of Cityscapes, of CamVid, or with images/ and labels/; for "
    text += "evaluate also a rosbag2 with labels"
    add("--data", required=True, help=text)
    text = "of a folder or a bag: camvid, cityscapes (default), or a JSON file"
    add("--classes", help=text)
    add("--clip-size", type=even_size, default=(512, 256), metavar="WxH", help="default: 512x256")
    text = "files, or sequences, to score on only, by how their names begin; with :N the last N"
    add("--hold-out", nargs="*", default=[], metavar="PREFIX[:N]", help=text)
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
