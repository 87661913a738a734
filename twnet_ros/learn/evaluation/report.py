"""What models reach on held-out clips: tables, numbers and plots."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from twnet_ros.learn.data.clip import Coding
from twnet_ros.learn.data.dataset import Data
from twnet_ros.learn.data.source import SnippetSource, Source, StillSource
from twnet_ros.learn.data.still import DataError
from twnet_ros.learn.evaluation import table
from twnet_ros.learn.evaluation.complexity import method_gmacs
from twnet_ros.learn.evaluation.evaluate import Score, score
from twnet_ros.learn.evaluation.method import METHODS, USUAL
from twnet_ros.learn.evaluation.picture import score_pictures
from twnet_ros.learn.evaluation.result import Result, plain, summarise
from twnet_ros.learn.evaluation.trial import FRAMES, Trial, make_trial
from twnet_ros.net import TWNet
from twnet_ros.segment.device import choose, find_device, round_nothing
from twnet_ros.segment.file import whole
from twnet_ros.segment.input import Geometry
from twnet_ros.segment.policy import INTERVAL

NOTES = """\
mIoU and IoU are percentages over all scored pixels, of the classes that the truth has.
Consistency is the share of pixels whose label is that of the pixel in the previous frame that the
codec's motion leads to, among those where the truth's is, too; key frames have no motion and do
not count. GMACs are 10^9 multiply-accumulates of the network at {sizes}; optical flow is not
counted. Times, and the frames per second that follow from their mean, go from decoded frame to
labels, of one frame after the other on {devices}."""
ADAPTIVE = " The method adaptive takes a key step in {interval} frames, and where a drive changes."

Scores = dict[str, dict[str, Score]]  # by model and method


def report(
    models: Sequence[str],
    data: Data,
    *,
    clips: int | None,
    frames: int | None,
    gop: int,
    bits_per_pixel: float,
    device: str,
    precision: str,
    every: int = 1,
    motion: str = "auto",
    interval: int | None = None,
    seed: int = 1,
    split: str = "val",
    distances: Sequence[int] = (),
    cache: Path | None = None,
    methods: Sequence[str] = USUAL,
    out: Path | None = None,
    trial: Trial | None = None,
) -> Scores:
    """Score models and what they are held against on the same clips of a split; print tables.

    Of real sequences the labelled frames are scored, each (or ``clips`` of them) at the end of a
    clip; for ``distances`` from the key frame see ``labelled_clips``, ``cache`` is where clips are
    kept. Of other data ``clips`` clips of ``frames`` frames are made; held-out stills are scored
    as they are, too. Of ``every`` frames one is labelled. ``motion`` is one of the engine's
    MOTION_SOURCES, ``methods`` are some of METHODS, ``interval`` is that of ``adaptive``, the
    node's unless given. The folder ``out`` gets the tables, all numbers as JSON, and plots. Where
    a ``trial`` is given, it is scored, and ``data`` tells its classes and size only.
    """
    if unknown := [name for name in methods if name not in METHODS]:
        raise DataError(f"--methods: expected some of {', '.join(METHODS)}, got {unknown[0]!r}")
    if interval is not None and "adaptive" not in methods:
        raise DataError(
            "--key-interval: expected the method adaptive, whose it is, among --methods, got "
            + ", ".join(methods)
        )
    if out is not None:
        from twnet_ros.learn.evaluation import gallery  # matplotlib is for reports alone

        out.mkdir(parents=True, exist_ok=True)
    named = zip(model_names(models), models, strict=True)
    networks = {name: data.load_model(model) for name, model in named}
    stills: dict[str, float] = {}
    interval = interval or INTERVAL
    settings: dict[str, object] = {"motion": motion}
    if "adaptive" in methods:
        settings["key_interval"] = interval
    if trial is None:
        settings |= {"split": split, "seed": seed}
        held_out = data.held_out(split)
        if held_out is None:
            raise DataError("expected held-out data, got none; name some with --hold-out")
        real = isinstance(held_out, SnippetSource)
        length = frames or FRAMES
        if "interp_mv" in methods and (real or every > 1 or length <= gop):
            got = "real sequences" if real else f"--frames {length} --gop {gop} --every {every}"
            raise DataError(
                "interp_mv: expected clips that go on to a second key frame, with every frame "
                f"labelled, got {got}"
            )
        coding = Coding(gop=gop, bits_per_pixel=bits_per_pixel)
        trial = make_trial(
            held_out,
            coding,
            clips=clips,
            frames=frames,
            every=every,
            distances=distances,
            cache=cache,
            seed=seed,
        )
        stills = _score_stills(networks, held_out, device)
    scores: Scores = {}
    results = []
    for name, network in networks.items():
        size = Geometry.of(data.size, network.config.input_size).padded
        # Once: what is compared runs in the same precision.
        place, chosen = choose(network, device, precision)
        scores[name] = {}
        for method in tqdm(methods, unit="method", desc=name):
            found = score(
                network,
                trial.clips,
                method,
                str(place),
                chosen,
                every,
                motion,
                interval,
                trial.shown,
            )
            gmacs = method_gmacs(network, method, size)
            scores[name][method] = found
            results.append(
                summarise(found, name, method, data.classes.names, trial.distances, gmacs, size)
            )
    text = _markdown(results, trial, stills, interval if "adaptive" in methods else None)
    print(text)
    if out is not None:
        _write_json(results, trial, stills, settings, out / "report.json")
        images = gallery.hang(results, scores, trial, data.classes, out)
        _write(out / "report.md", f"# Evaluation\n\n{text}\n\n{images}\n")
    return scores


def model_names(models: Sequence[str]) -> list[str]:
    """Return short, distinct names: of files as much of the path's end as it takes."""
    if len(set(models)) < len(models):
        raise DataError(f"models: expected different ones, got {', '.join(models)}")
    parts = [Path(model.removesuffix(".safetensors")).parts for model in models]
    for depth in range(1, 1 + max(map(len, parts))):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(models)


def _score_stills(networks: dict[str, TWNet], held_out: Source, device: str) -> dict[str, float]:
    """Return the mIoU of each model's key step on held-out stills, where there are some."""
    if not isinstance(held_out, StillSource):
        return {}
    place = str(find_device(device))
    round_nothing(torch.device(place))
    scores = {}
    for name, network in networks.items():
        pictures = (held_out.stills.read(number) for number in range(len(held_out.stills)))
        with torch.inference_mode():
            scores[name] = score_pictures(copy.deepcopy(network).to(place), pictures, place)
    return scores


def _markdown(
    results: Sequence[Result], trial: Trial, stills: dict[str, float], interval: int | None
) -> str:
    scored = [
        f"{name}: {miou:.1f} mIoU of the key step on held-out stills"
        for name, miou in stills.items()
    ]
    sizes = sorted({f"{width}x{height}" for width, height in (one.input_size for one in results)})
    devices = sorted({f"{one.device}, {one.precision}" for one in results})
    notes = NOTES.format(sizes=" and ".join(sizes), devices="; ".join(devices))
    notes += "" if interval is None else ADAPTIVE.format(interval=interval)
    parts = [*scored, trial.text, table.overall(results, trial.last), notes]
    for title, found in (
        ("IoU by category", table.by_category(results)),
        ("IoU by class", table.by_class(results)),
        ("mIoU by distance to the key frame", table.by_distance(results)),
    ):
        if found:
            parts += [f"## {title}", found]
    return "\n\n".join(parts)


def _write_json(
    results: Sequence[Result],
    trial: Trial,
    stills: dict[str, float],
    settings: dict[str, object],
    path: Path,
) -> None:
    content = {
        "clips": len(trial.clips),
        "frames": [len(clip) for clip in trial.clips],
        "gop": trial.coding.gop,
        "bits_per_pixel": trial.coding.bits_per_pixel,
        "every": trial.every,
        **settings,
        "stills_miou": plain(stills),
        "results": [one.to_json() for one in results],
    }
    _write(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole(path) as file:
        file.write_text(text, encoding="utf-8")
