"""Tables of what a model reaches on held-out clips."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from twnet_ros.learn.cache import ClipCache
from twnet_ros.learn.clip import Coding
from twnet_ros.learn.data import Data
from twnet_ros.learn.evaluate import Score, labelled_clips, make_clips, score
from twnet_ros.learn.key import score_pictures
from twnet_ros.learn.method import METHODS, USUAL
from twnet_ros.learn.source import SnippetSource, StillSource
from twnet_ros.learn.still import DataError
from twnet_ros.net import load_checkpoint
from twnet_ros.segment import find_model

WATCHED = ("person", "pedestrian", "car")  # non-rigid and moving: where warping alone fails
ANIMATED = 8  # clips, where their number is not given


def report(
    model: str,
    data: Data,
    *,
    clips: int | None,
    frames: int,
    gop: int,
    bits_per_pixel: float,
    device: str,
    precision: str,
    every: int = 1,
    motion: str = "auto",
    seed: int = 1,
    split: str = "val",
    distances: Sequence[int] = (),
    cache: Path | None = None,
    methods: Sequence[str] = USUAL,
) -> dict[str, Score]:
    """Score a model and what it is held against on a split, and print a table.

    Of real sequences the labelled frames are scored, each (or ``clips`` of them) at the end of a
    clip; for ``distances`` from the key frame see ``labelled_clips``, ``cache`` is where clips are
    kept. Of other data ``clips`` clips of ``frames`` frames are made; held-out stills are scored
    as they are, too. Of ``every`` frames one is labelled. ``motion`` is one of the engine's
    MOTION_SOURCES, ``methods`` are some of METHODS.
    """
    if unknown := [name for name in methods if name not in METHODS]:
        raise DataError(f"--methods: expected some of {', '.join(METHODS)}, got {unknown[0]!r}")
    network = load_checkpoint(find_model(model))
    if network.config.classes != data.classes.names:
        raise DataError(
            f"{model}: expected the data's classes {', '.join(data.classes.names)}, "
            f"got {', '.join(network.config.classes)}"
        )
    held_out = data.held_out(split)
    if held_out is None:
        raise DataError("expected held-out data, got none; name some with --hold-out")
    real = isinstance(held_out, SnippetSource)
    if distances and not real:
        raise DataError("--distance: expected real sequences, whose labelled frames it is for")
    if real and every > 1 and (not distances or any(d % every for d in distances)):
        raise DataError(f"--every {every}: expected --distance and multiples of {every} there")
    if "interp_mv" in methods and (real or every > 1 or frames <= gop):
        got = "real sequences" if real else f"--frames {frames} --gop {gop} --every {every}"
        raise DataError(
            "interp_mv: expected clips that go on to a second key frame, with every frame "
            f"labelled, got {got}"
        )
    if isinstance(held_out, StillSource):
        stills = held_out.stills
        with torch.inference_mode():
            miou = score_pictures(network, (stills.read(i) for i in range(len(stills))))
        print(f"key-frame CNN on {len(stills)} held-out stills: {miou:.1f} mIoU")
    coding = Coding(gop=gop, bits_per_pixel=bits_per_pixel)
    if isinstance(held_out, SnippetSource):
        kept = ClipCache(cache, held_out.root) if cache else ClipCache.beside(held_out.root)
        coded = labelled_clips(held_out, kept, coding, distances, clips, seed)
        period = max(len(clip) for clip in coded)
        made = f"{len(coded)} clips that lead up to the labelled frames of real sequences"
    else:
        coded = make_clips(held_out, clips or ANIMATED, frames, coding, seed)
        period = min(gop, frames)
        made = f"{len(coded)} clips of {frames} frames"
    scores = {
        method: score(network, coded, method, device, precision, every, motion)
        for method in tqdm(methods, unit="method")
    }
    labelled = f", every {every} frames" if every > 1 else ""
    print(f"{made}, GOP {gop}, {bits_per_pixel} bit/pixel{labelled}")
    print(table(scores, network.config.classes, period, every))
    if real:
        print(f"\nmIoU by distance to the key frame\n{distance_table(scores)}")
    return scores


def table(scores: dict[str, Score], classes: Sequence[str], gop: int, every: int = 1) -> str:
    """Return a Markdown table: mIoU over all frames, watched classes, far from the key frame.

    Beside them the state's magnitude, the share of key steps, and how late labels come, in frames.
    """
    distance = (gop - 1) // every * every  # of the last frame of a GOP that is labelled
    watched = [i for i, name in enumerate(classes) if name in WATCHED]
    head = ["method", "mIoU", *(classes[i] for i in watched), f"distance {distance}"]
    head += ["state RMS", "key steps", "delay"]
    rows = [head, ["---"] * len(head)]
    for method, found in scores.items():
        iou = found.total().iou()
        far = found.over(range(distance, len(found.by_frame), gop)).miou()
        values = [found.total().miou(), *(iou[i] for i in watched), far]
        rms = f"{found.context_rms[0]:.2f} to {max(found.context_rms):.2f}"
        late = [rms, f"{100 * found.keys:.0f} %", str(found.delay)]
        rows.append([method, *(f"{value:.1f}" for value in values), *late])
    return _markdown(rows)


def distance_table(scores: dict[str, Score]) -> str:
    """Return a Markdown table: mIoU at each distance at which anything is labelled."""
    confusions = next(iter(scores.values())).by_frame
    distances = [number for number, confusion in enumerate(confusions) if confusion.counts.any()]
    rows = [["method", *map(str, distances)], ["---"] * (1 + len(distances))]
    for method, found in scores.items():
        rows.append([method, *(f"{found.by_frame[d].miou():.1f}" for d in distances)])
    return _markdown(rows)


def _markdown(rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
