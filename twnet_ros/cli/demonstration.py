"""The demonstration: a drive through a real segment node, and what came of it."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from twnet_ros.codec import read_packets, write_clip
from twnet_ros.learn.evaluation.metric import Confusion
from twnet_ros.learn.streets import write_street
from twnet_ros.msg import FrameStatus
from twnet_ros.net import load_checkpoint
from twnet_ros.nodes.collector import Collection, stream
from twnet_ros.nodes.topic import stamp_ns
from twnet_ros.segment import CITYSCAPES, crop_even, find_model, render_overlay, to_rgb
from twnet_ros.segment.contact import contact_sheet
from twnet_ros.segment.inspection import Inspection, inspect
from twnet_ros.segment.picture import Picture, read_labels, read_rgb, write_png

STREET_MODEL, VIDEO_MODEL = "streets-mobilenetv1-layer1", "camvid-mobilenetv1-layer1"
SEED = 1_000_003  # a street no model has seen
FRAMES, SIZE, FPS, BITRATE = 96, (1024, 512), 17.0, 3_000_000
SHEET_ROWS = 5
# Packets sent ahead where B-frames wait for later ones: enough for 16 in a row.
B_FRAME_WINDOW = 19


def demonstrate(video: Path | None, out: Path) -> str:
    """Stream a video, or a procedural drive, through the node; return the table of results.

    Writes ``overlay.mp4``, ``contact_sheet.png`` and ``labels/`` into ``out``; ValueError where
    one of them would take the place of what is no demonstration's.
    """
    _refuse_others(video, out)
    finished, labels = out / "labels", out / "labels.part"
    if labels.exists():
        shutil.rmtree(labels)  # of one that was interrupted
    labels.mkdir(parents=True)
    clip, model, truth = video, VIDEO_MODEL, None
    if clip is None:
        clip, model, truth = out / "street.avi", STREET_MODEL, out / "street" / "labels"
        write_street(out / "street", FRAMES, *SIZE, SEED)
        frames = out / "street" / "frames"
        pictures = (read_rgb(frames / f"{number:05d}.png") for number in range(FRAMES))
        write_clip(clip, pictures, codec="mpeg4", gop=12, fps=FPS, bitrate=BITRATE)
    find_model(model)  # a missing model would leave the node unconfigured
    print(f"streaming {clip} through the segment node with {model}", flush=True)
    info, packets = read_packets(clip)
    collection = stream(
        clip,
        model,
        B_FRAME_WINDOW if info.reorders else 1,
        lambda number, ids: write_png(labels / f"{number:05d}.png", ids),
    )
    published = _labels_of_pictures(labels, collection)
    if not published:
        raise ValueError(f"{clip}: expected labels, got none; what the node said stands above")
    _render(clip, info.fps, model, published, out)
    sent = sum(1 for _ in packets)
    table = _table(sent, collection, _miou(published, truth) if truth else None)
    if finished.exists():
        shutil.rmtree(finished)
    labels.rename(finished)
    return table


def _refuse_others(video: Path | None, out: Path) -> None:
    """Raise ValueError if anything but a demonstration's own files would be replaced."""
    if video is not None:
        read_packets(video)  # what is no video is refused before anything is written
        if (out / "overlay.mp4").exists() and video.samefile(out / "overlay.mp4"):
            raise ValueError(f"{video}: expected another file than {out / 'overlay.mp4'}")
    labels, unfinished = out / "labels", out / "labels.part"
    overlay, sheet = out / "overlay.mp4", out / "contact_sheet.png"
    others = [folder for folder in (labels, unfinished) if not _may_go(folder)]
    if _is_there(labels) and not sheet.is_file():
        others.append(labels)  # of another command
    if not (_is_there(labels) or _is_there(unfinished)):  # without which nothing is shown
        others += filter(_is_there, (overlay, sheet))
    if others:
        raise ValueError(
            f"{out}: expected a folder for demonstrations alone, found another's {others[0].name}"
        )


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _may_go(folder: Path) -> bool:
    """Tell whether a folder is not there, or holds nothing but what a demonstration writes."""
    if folder.is_symlink() or not folder.is_dir():
        return not _is_there(folder)
    return all(re.fullmatch(r"\d{5}\.png(\.part)?", path.name) for path in folder.iterdir())


def _labels_of_pictures(labels: Path, collection: Collection) -> dict[int, Path]:
    """Return the label files by the number of their decoded picture."""
    file = {stamp: labels / f"{n:05d}.png" for n, stamp in enumerate(collection.labelled)}
    pictures = [s for s in collection.statuses if s.frame_type != FrameStatus.FRAME_UNKNOWN]
    stamps = enumerate(stamp_ns(status.header) for status in pictures)
    return {number: file[stamp] for number, stamp in stamps if stamp in file}


def _render(clip: Path, fps: float, model: str, published: dict[int, Path], out: Path) -> None:
    """Write the overlay and the contact sheet of the labelled frames."""
    config = load_checkpoint(find_model(model)).config
    colors = np.array(config.colors, np.uint8)
    numbers = sorted(published)
    rows_of = np.linspace(0, max(len(numbers) - 2, 0), SHEET_ROWS).astype(int)
    chosen = {numbers[row] for row in rows_of}
    rows: list[tuple[Inspection, Picture]] = []

    def overlays() -> Iterator[Picture]:
        for found in tqdm(inspect(clip), total=numbers[-1] + 1):
            number = found.frame.index
            if number not in published:
                continue
            ids = read_labels(published[number])
            if number in chosen:
                rows.append((found, ids))
            yield crop_even(render_overlay(to_rgb(found.frame), ids, colors))

    write_clip(out / "overlay.mp4", overlays(), codec="h264", gop=12, fps=fps, crf=20)
    write_png(out / "contact_sheet.png", contact_sheet(rows, config.classes, colors))


def _miou(published: dict[int, Path], truth: Path) -> float:
    """Score what was published against the drive's exact labels."""
    confusion = Confusion(len(CITYSCAPES.names))
    for number, path in published.items():
        confusion.add(read_labels(truth / f"{number:05d}.png"), read_labels(path))
    return confusion.miou()


def _table(sent: int, collection: Collection, miou: float | None) -> str:
    """Return the results, a line each."""
    statuses = collection.statuses
    keys = sum(status.path == FrameStatus.PATH_KEY for status in statuses)
    others = sum(status.path == FrameStatus.PATH_NONKEY for status in statuses)
    latency = [status.total_ms for status in statuses if status.path != FrameStatus.PATH_NONE]
    seconds = collection.last_s - collection.first_s
    rows = {
        "frames sent": f"{sent}",
        "labelled": f"{collection.announced} ({keys} key, {others} non-key)",
        "skipped": f"{sent - collection.announced}",
        "mIoU": "unknown (no ground truth)" if miou is None else f"{miou:.1f} %",
        "frames per second": f"{(len(statuses) - 1) / seconds:.1f}" if seconds else "unknown",
        "latency p50 / p95": "unknown",
    }
    if lost := collection.announced - len(collection.labelled):
        rows["labels lost"] = f"{lost} on their way here"
    if latency:
        middle, late = np.percentile(latency, [50, 95])
        rows["latency p50 / p95"] = f"{middle:.0f} / {late:.0f} ms"
    return "\n".join(f"{name:<18} {value}" for name, value in rows.items())
