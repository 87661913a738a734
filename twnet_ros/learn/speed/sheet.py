"""The benchmark's report for people and for programs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twnet_ros.learn.markdown import table
from twnet_ros.learn.speed.contestant import RANDOM
from twnet_ros.segment.file import whole


def write_json(path: Path, report: Mapping[str, Any]) -> None:
    """Write the report; the file appears whole or not at all."""
    with whole(path) as file:
        file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def markdown(report: Mapping[str, Any]) -> str:
    """Return the report as Markdown; times are medians in ms, with the 95th percentile."""
    paths = {name: _of_path(report, name) for name in report["step_ms"]}
    paths.update(report["against"])
    ratios = report["ratios"]
    head = ["", "key step", "non-key step", "input", "output", "packet to labels", "GOP average"]
    head += ["frames/s", "at 30 Hz", "step", "average"]
    rows = []
    for name, path in paths.items():
        stages = path["stages_ms"]
        rows.append(
            [f"`{name}`"]
            + [_spread(stages.get("key")), _spread(stages.get("nonkey"))]
            + [_spread(stages.get("nonkey_input") or stages.get("key_input"))]
            + [_spread(stages["output"]), _spread(stages["end_to_end"])]
            + [f"{path['gop_ms']['overlapped']:.1f}", f"{path['end_to_end_fps']:.1f}"]
            + [_spread(path["latency_30hz_ms"])]
            + [f"{ratios[kind].get(name, 1):.2f}" for kind in ("step", "end_to_end")]
        )
    fps, threads = report["decode_fps"], report["threads"]
    kind = " with vectors" if "vectors" in report["stages_ms"]["front"] else ""
    named = {
        "ffmpeg": f"FFmpeg's decoder{kind}, {threads['ffmpeg']} thread: {fps:.0f} frames/s",
        "vectors": "vectors onto the grid of blocks",
        "preprocess": "planes to the network's input",
        "residual": "motion and compensated residual",
    }
    front = [[named[name], _spread(found)] for name, found in report["stages_ms"]["front"].items()]
    tables = [table(head, rows), table(["in front of the network", "ms"], front)]
    return "\n\n".join([_head(report), *tables, *_notes(report)])


def _of_path(report: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Gather what the report says of one of our paths."""
    kinds = ("step_ms", "end_to_end_fps", "latency_30hz_ms", "stages_ms", "gop_ms")
    return {kind: report[kind][name] for kind in kinds}


def _head(report: Mapping[str, Any]) -> str:
    width, height = report["size"]
    across, down = report["input_size"]
    machine, threads = report["machine"], report["threads"]
    gpu = machine["gpu"]
    where = f"{gpu['name']}, " if gpu else ""
    return (
        f"{report['backbone']}, {width}x{height} {report['codec']} "
        f"({report['bits_per_pixel']:.2f} bit/pixel, GOP {report['gop']:g}), network at "
        f"{across}x{down} on {report['device']} in {report['precision']}\n"
        f"{where}{machine['cpu']}, {machine['cores'] or '?'} cores, {threads['torch']} threads, "
        f"torch {machine['torch']}, load {machine['load']}; "
        f"{report['frames']} frames a path in {report['rounds']} rounds"
    )


def _notes(report: Mapping[str, Any]) -> list[str]:
    notes = [
        "Median / 95th percentile in ms; the last two columns are how many times as fast as "
        "`per_frame`: network step against step, and GOP average, packet to labels."
    ]
    for name, gop in report["gop_ms"].items():
        weights = f"{report['weights'][name]} weights"
        if name in report["fused"]:
            weights += ", logits fused within the network's time"
        notes.append(
            f"- `{name}`: {weights}; GOP average {gop['overlapped']:.1f} ms with the stages "
            f"overlapped, {gop['one_by_one']:.1f} one after another, the slowest alone "
            f"{gop['slowest_share']:.1f}"
        )
    for name, peer in report["against"].items():
        left = peer["batch_norms_left"]
        notes.append(f"- `{name}`: {left} batch norms left that are in no convolution before them")
    for name, caveat in report["caveats"].items():
        notes.append(f"- `{name}`: {caveat}")
    if RANDOM in report["weights"].values() or report["against"]:
        notes.append(
            "- where weights are random, labels meet everywhere, and the output pass takes longer "
            "than with trained ones"
        )
    memory = report["peak_memory_mb"]
    notes.append(f"- memory at its peak, all paths loaded: {memory['rss']:.0f} MiB")
    if memory["cuda"]:
        each = ", ".join(f"`{name}` {mb:.0f}" for name, mb in memory["cuda"].items())
        notes.append(f"- GPU memory at its peak, MiB: {each}")
    if overhead := report.get("node_overhead_ms"):
        notes.append(
            f"- the node from a packet's arrival to its labels' publication, less decoding and "
            f"inference: {_spread(overhead)} ms, {overhead['frames']} frames at "
            f"{overhead['rate_hz']:.1f} Hz"
        )
    return [notes[0], "\n".join(notes[1:])]


def _spread(found: Mapping[str, float] | str | None) -> str:
    if found is None or isinstance(found, str):
        return found or ""
    return f"{found['median']:.1f} / {found['p95']:.1f}"
