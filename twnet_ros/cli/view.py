"""The sub-command ``twnet view``."""

import argparse
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twnet_ros.cli.argument import (
    Commands,
    add_clip,
    add_model,
    add_motion,
    command,
    count,
    opener,
    refuse_clip,
    refuse_topic,
    require_ros,
)

Picture = NDArray[np.uint8]
Stamped = tuple[int, Picture]  # time in nanoseconds, four panes (RGB)
NAME = r"(/[A-Za-z_]\w*)+"  # a topic's or a node's full name
RATED = 9  # pictures whose times tell the rate of a video
FPS = 10.0  # of a single picture
WINDOW = Path(__file__).with_name("window.py")


def view(options: argparse.Namespace) -> None:
    """Show picture, motion, residual and labels side by side, of a clip, a topic or a node."""
    is_name = bool(re.fullmatch(NAME, str(options.clip))) and not options.clip.exists()

    def pictures(wanted: Callable[[], bool]) -> Generator[Stamped, None, None]:
        return _of_name(options, wanted) if is_name else _of_clip(options)

    refuse_clip(options)
    if options.output:
        from twnet_ros.codec.encoder import refuse_target  # not needed to describe the command

        refuse_target(options.output, ".png")
        with closing(pictures(lambda: True)) as source:
            _write(options.output, islice(source, options.frames))
        return
    if not is_name:
        opener(options)(options.clip)  # what is wrong with it is said before a window opens
    with (
        _window(hold=not is_name) as window,
        closing(pictures(lambda: window.poll() is None)) as source,
    ):
        _play(window, islice(source, options.frames))


def _of_clip(options: argparse.Namespace) -> Generator[Stamped, None, None]:
    """Yield the four panes of a clip's labelled frames, at its mean rate."""
    from tqdm import tqdm

    from twnet_ros.segment import Segmenter
    from twnet_ros.segment.viewing import watch

    read = opener(options)
    info, _ = read(options.clip)
    segmenter = Segmenter.load(
        options.model,
        options.device,
        options.precision,
        options.input_size,
        motion=options.motion,
    )
    pictures = watch(options.clip, segmenter, read)
    for number, picture in enumerate(tqdm(pictures, total=info.frames, unit="frame")):
        yield round(1e9 * number / info.fps), picture


def _of_name(
    options: argparse.Namespace, wanted: Callable[[], bool]
) -> Generator[Stamped, None, None]:
    """Yield the four panes of a topic of video, or of a node, while they are wanted."""
    require_ros(f"{options.clip}, where no such file is, as a topic or a node")
    from twnet_ros.nodes.viewer import watch

    refuse_topic(options, options.clip)
    print(f"twnet: watching {options.clip}; Ctrl-C ends", file=sys.stderr)
    parameters = {
        name: getattr(options, name) for name in ("model", "device", "precision", "motion")
    }
    parameters["input_size"] = list(options.input_size or (0, 0))
    yield from watch(str(options.clip), wanted, parameters)


def _write(file: Path, pictures: Iterator[Stamped]) -> None:
    """Write a video, or as PNG always the newest picture."""
    from twnet_ros.codec import write_clip
    from twnet_ros.codec.rate import usual_rate
    from twnet_ros.segment import crop_even
    from twnet_ros.segment.picture import write_png

    first = list(islice(pictures, 1 if file.suffix.lower() == ".png" else RATED))
    if not first:
        raise ValueError(f"expected pictures for {file}, got none")
    if file.suffix.lower() == ".png":
        for _, picture in chain(first, pictures):
            write_png(file, picture)
        return
    fps = usual_rate([time_ns for time_ns, _ in first], FPS)
    even = (crop_even(picture) for _, picture in chain(first, pictures))
    write_clip(file, even, codec="h264", gop=12, fps=fps, crf=20)


@contextmanager
def _window(hold: bool) -> Iterator[subprocess.Popen[bytes]]:
    """Open a window, as another process (window.py says why); ValueError where none can be.

    With ``hold`` the last picture stays until a person closes it.
    """
    # Not as a module: its package brings in PyAV.
    program = f"import runpy; runpy.run_path({str(WINDOW)!r}, run_name='__main__')"
    command = [sys.executable, "-c", program, *(["hold"] if hold else [])]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said) as process,
    ):
        try:
            assert process.stdout  # it is a pipe
            if process.stdout.readline():
                yield process
            if process.wait():
                said.seek(0)
                lines = said.read().decode(errors="replace").splitlines()
                raise _failure(lines or [f"it ended with {process.returncode}"])
        finally:
            process.terminate()


def _failure(said: list[str]) -> ValueError:
    telling = [line for line in said if "display" in line] or said[-1:]
    return ValueError(
        f"expected a window to show pictures in, got none ({telling[0]}): write a file instead, "
        "as with -o view.mp4"
    )


def _play(window: subprocess.Popen[bytes], pictures: Iterable[Stamped]) -> None:
    """Show pictures until there are no more or the window is closed."""
    assert window.stdin  # it is a pipe
    with suppress(BrokenPipeError), window.stdin as sink:
        for _, picture in pictures:
            sink.write(struct.pack("<II", *picture.shape[:2]))
            sink.write(picture[..., ::-1].tobytes())


def describe(commands: Commands) -> None:
    """Describe the sub-command."""
    made = command(commands, view, "view drive.mp4, or twnet view /camera/image/compressed")
    text = "video file or rosbag2, or the full name of a topic of video, or of a running segment "
    text += "node (whose own settings count, and whose overlay is the picture)"
    add_clip(made, "CLIP|TOPIC|NODE", text)
    add = made.add_argument
    text = "a video (.mp4, .avi, .mkv), or a picture (.png) that is always the newest; without it "
    text += "a window opens"
    add("-o", "--output", type=Path, metavar="FILE", help=text)
    add("--frames", type=count, metavar="N", help="end after so many")
    add_model(made)
    add_motion(made)
