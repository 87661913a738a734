"""Tables of what a model reaches on held-out clips."""

from collections.abc import Sequence

import torch
from tqdm import tqdm

from twnet_ros.learn.clip import Coding
from twnet_ros.learn.evaluate import METHODS, Score, make_clips, score
from twnet_ros.learn.key import score_pictures
from twnet_ros.learn.source import StillSource
from twnet_ros.learn.still import DataError
from twnet_ros.learn.train import Data
from twnet_ros.net import load_checkpoint
from twnet_ros.segment import find_model

WATCHED = ("person", "pedestrian", "car")  # non-rigid and moving: where warping alone fails


def report(
    model: str,
    data: Data,
    *,
    clips: int,
    frames: int,
    gop: int,
    bits_per_pixel: float,
    device: str,
    precision: str,
    every: int = 1,
    motion: str = "auto",
    seed: int = 1,
) -> dict[str, Score]:
    """Score a model and what it is held against on held-out clips, and print a table.

    Held-out stills are scored as they are, too. Of ``every`` frames one is labelled.
    ``motion`` is one of the engine's MOTION_SOURCES.
    """
    network = load_checkpoint(find_model(model))
    if data.held_out is None:
        raise DataError("expected held-out data, got none; name some with --hold-out")
    if network.config.classes != data.classes.names:
        raise DataError(
            f"{model}: expected the data's classes {', '.join(data.classes.names)}, "
            f"got {', '.join(network.config.classes)}"
        )
    if isinstance(data.held_out, StillSource):
        stills = data.held_out.stills
        with torch.inference_mode():
            miou = score_pictures(network, [stills.read(i) for i in range(len(stills))])
        print(f"key-frame CNN on {len(stills)} held-out stills: {miou:.1f} mIoU")
    coding = Coding(gop=gop, bits_per_pixel=bits_per_pixel)
    coded = make_clips(data.held_out, clips, frames, coding, seed)
    scores = {
        method: score(network, coded, method, device, precision, every, motion)
        for method in tqdm(METHODS, unit="method")
    }
    labelled = f", every {every} frames" if every > 1 else ""
    print(f"{clips} clips of {frames} frames, GOP {gop}, {bits_per_pixel} bit/pixel{labelled}")
    print(table(scores, network.config.classes, min(gop, frames), every))
    return scores


def table(scores: dict[str, Score], classes: Sequence[str], gop: int, every: int = 1) -> str:
    """Return a Markdown table: mIoU over all frames, watched classes, far from the key frame."""
    distance = (gop - 1) // every * every  # of the last frame of a GOP that is labelled
    watched = [i for i, name in enumerate(classes) if name in WATCHED]
    head = ["method", "mIoU", *(classes[i] for i in watched), f"distance {distance}", "state RMS"]
    rows = [head, ["---"] * len(head)]
    for method, found in scores.items():
        iou = found.total().iou()
        far = found.over(range(distance, len(found.by_frame), gop)).miou()
        values = [found.total().miou(), *(iou[i] for i in watched), far]
        rms = f"{found.context_rms[0]:.2f} to {max(found.context_rms):.2f}"
        rows.append([method, *(f"{value:.1f}" for value in values), rms])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
