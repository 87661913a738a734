"""The sub-command ``twnet bag``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twnet_ros.cli.argument import Commands, bitrate, command, count, frame_rate

if TYPE_CHECKING:  # rosbags is needed for bags alone
    from twnet_ros.bag import Shot, Stream
    from twnet_ros.codec.bitstream import CodecName

Labels = NDArray[np.uint8]
START_NS = 1_000_000_000  # of every bag: ROS takes a time of 0 for none
CODING = ("codec", "gop", "fps", "bitrate", "crf")


def bag(options: argparse.Namespace) -> None:
    """Make a rosbag2 of frames, encoded, or of a video, its packets copied."""
    from twnet_ros.bag import PICTURES, write_bag

    path = options.frames
    is_video = path.is_file() and path.suffix.lower() not in PICTURES
    stream, shots = (_copy if is_video else _encode)(options)
    topics = write_bag(options.out, stream, shots, options.storage)
    print(json.dumps({"bag": str(options.out), "storage": options.storage, "messages": topics}))


def _copy(options: argparse.Namespace) -> tuple[Stream, Iterator[Shot]]:
    """Take the packets of a video as they are."""
    from tqdm import tqdm

    from twnet_ros.bag import BagError, Shot, Stream, read_camera
    from twnet_ros.codec import FrameKind, read_packets
    from twnet_ros.segment.replay import decode

    if given := [name for name in CODING if getattr(options, name) is not None]:
        raise BagError(f"--{given[0]}: expected frames to encode, got a video, {options.frames}")
    info, packets = read_packets(options.frames)
    times = [packet.pts_ns for packet in packets]
    as_decoded = info.reorders and times == sorted(times)
    first_ns = min(times, default=0)
    camera = read_camera(options.camera_info) if options.camera_info else None
    number: dict[int | None, int] = {}  # of a frame, as ``twnet segment --labels`` has it
    if options.labels or as_decoded:
        for frame in decode(options.frames):
            if as_decoded and frame.kind is FrameKind.B:
                raise BagError(
                    f"{options.frames}: expected times at which frames are shown, as .mp4 and "
                    ".mkv have them, got B-frames without"
                )
            number[frame.pts] = frame.index
    if options.labels:
        shown = [time for time in times if time in number]
        begin, end = min(shown), max(shown)
        lost = [time for time in times if begin < time < end and time not in number]
        if lost:
            raise BagError(
                f"{options.frames}: expected all frames between the first and the last, by whose "
                f"number labels are found, got none of {len(lost)} packets, the first of them at "
                f"{(min(lost) - first_ns) / 1e9:.2f} s"
            )
    labels = _find_labels(options.labels, [f"{index:05d}" for index in range(len(number))])
    stream = Stream(
        options.kind, info.codec, info.width, info.height, options.topic, options.frame_id
    )

    def shots() -> Iterator[Shot]:
        _, packets = read_packets(options.frames)
        for packet in tqdm(packets, total=len(times), unit="frame", delay=2):
            stamped = replace(packet, pts_ns=START_NS + packet.pts_ns - first_ns)
            yield Shot(stamped, labels(number.get(packet.pts_ns, -1)), camera)

    return stream, shots()


def _encode(options: argparse.Namespace) -> tuple[Stream, Iterator[Shot]]:
    """Encode frames, each run of them from a key frame on."""
    from tqdm import tqdm

    from twnet_ros.bag import Shot, Stream, find_runs, read_camera, usual_fps
    from twnet_ros.codec import ClipEncoder
    from twnet_ros.segment.picture import read_rgb

    runs = find_runs(options.frames, options.fps)
    paths = [path for run in runs for path in run.frames]
    labels = _find_labels(options.labels, [path.stem for path in paths])
    given = read_camera(options.camera_info) if options.camera_info else None
    codec: CodecName = options.codec or "h264"
    fps = options.fps or usual_fps(runs)
    height, width = read_rgb(paths[0]).shape[:2]
    stream = Stream(options.kind, codec, width, height, options.topic, options.frame_id)

    def shots() -> Iterator[Shot]:
        numbers = iter(tqdm(range(len(paths)), unit="frame", delay=2))
        for run in runs:
            camera = given or (read_camera(run.camera) if run.camera else None)
            encoder = ClipEncoder(
                codec,
                width,
                height,
                gop=options.gop or 12,
                fps=fps,
                bitrate=options.bitrate,
                crf=options.crf,
            )
            for path, time_ns in zip(run.frames, run.times_ns, strict=True):
                (packet,) = encoder.encode(read_rgb(path))
                packet = replace(packet, pts_ns=START_NS + time_ns)
                yield Shot(packet, labels(next(numbers)), camera)

    return stream, shots()


def _find_labels(folder: Path | None, stems: Iterable[str]) -> Callable[[int], Labels | None]:
    """Return what reads the train ids of a frame by its number, None for one without.

    Files carry a frame's own name, or that and the ending of Cityscapes' or CamVid's labels.
    """
    if folder is None:
        return lambda number: None
    from twnet_ros.bag import BagError
    from twnet_ros.learn.data import camvid, cityscapes
    from twnet_ros.segment.picture import read_labels

    plain = camvid.index_train_ids if folder.name.endswith("annot") else read_labels
    found: dict[int, tuple[Callable[[Path], Labels], Path]] = {}
    for number, stem in enumerate(stems):
        city = stem.removesuffix("_leftImg8bit")
        for name, read in (
            (f"{stem}.png", plain),
            (f"{stem}_L.png", camvid.colour_train_ids),
            (f"{city}_gtFine_labelIds.png", cityscapes.train_ids),
            (f"{city}_gtFine_labelTrainIds.png", cityscapes.train_ids),
        ):
            if number not in found and (folder / name).is_file():
                found[number] = read, folder / name
    if not found:
        raise BagError(f"{folder}: expected the labels of some frames, under their names")

    def read_of(number: int) -> Labels | None:
        if number not in found:
            return None
        read, path = found[number]
        return read(path)

    return read_of


def describe(commands: Commands) -> None:
    """Describe the sub-command."""
    made = command(commands, bag, "bag drive.mp4 drive --as foxglove")
    add = made.add_argument
    text = "video file, or folder of frames; of Cityscapes also CITY_SEQUENCE[_FRAME] in it"
    add("frames", type=Path, metavar="FRAMES_OR_VIDEO", help=text)
    add("out", type=Path, metavar="OUT", help="folder to make")
    add("--storage", choices=("mcap", "sqlite3"), default="mcap", help="default: %(default)s")
    add(
        "--as",
        dest="kind",
        choices=("compressed_image", "ffmpeg", "foxglove"),
        default="compressed_image",
        help="message type of the video, as in the node's input_type, default: %(default)s",
    )
    text = "of the video, default: /camera/image/ and compressed, ffmpeg or foxglove"
    add("--topic", default="", metavar="NAME", help=text)
    add("--frame-id", default="camera", metavar="NAME", help="default: %(default)s")
    text = "calibration: YAML of ROS or JSON of Cityscapes; default: what lies beside Cityscapes"
    add("--camera-info", type=Path, metavar="FILE", help=text)
    text = "folder of label images, named as the frames are; of a video 00000.png, 00001.png …"
    add("--labels", type=Path, metavar="DIR", help=text)
    add("--codec", choices=("mpeg4", "h264"), help="of frames, default: h264")
    add("--gop", type=count, help="frames from one I-frame to the next, default: 12")
    text = "frames a second, default: as they were recorded, else 17"
    add("--fps", type=frame_rate, help=text)
    add("--bitrate", type=bitrate, help="bits a second, as in 6M")
    add("--crf", type=float, help="constant quality, 1 (best) to 51; h264 only")
