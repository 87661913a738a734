"""How fast the paths are, from packet to labels, on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tqdm import tqdm

from twnet_ros.codec import Packet, VideoInfo, read_packets, write_clip
from twnet_ros.learn.speed.contestant import Entry, Peer, find, our_entries, peer_entry
from twnet_ros.learn.speed.machine import describe, peak_rss_mb
from twnet_ros.learn.speed.pacing import one_by_one, overlapped
from twnet_ros.learn.speed.stage import FrontStages
from twnet_ros.learn.speed.timing import (
    RATE_HZ,
    Samples,
    gop,
    latency,
    ratios,
    spread,
    stages,
    turns,
)
from twnet_ros.learn.streets import Street
from twnet_ros.net import TWNet, save_checkpoint
from twnet_ros.net.config import BACKBONES
from twnet_ros.segment import CODEC_KEYS, Network, Segmenter
from twnet_ros.segment.device import check_precision, choose, find_device
from twnet_ros.segment.input import Geometry

SEED, GOP, RENDERED = 1_000_003, 12, 36  # of the clip that is made: a street no model has seen
MOST_ROUNDS = 5
WARM_UP = 6  # packets
MB = 1 << 20
FRONT, PER_FRAME = "front", "per_frame"

Report = dict[str, Any]  # as it is written as JSON


@dataclass(frozen=True)
class Setting:
    """What is timed, and where."""

    backbone: str = "mobilenetv1"
    device: str = "auto"
    precision: str = "auto"
    input_size: tuple[int, int] | None = None  # (width, height); None is the video's own
    frames: int = 36  # of each path, at least: whole GOPs are taken
    threads: int | None = None  # torch's; None leaves them
    against: Sequence[str] = ()  # MODULE:FACTORY


def check(setting: Setting) -> None:
    """Raise the ValueError of what can be told to be wrong before a clip is made."""
    if setting.backbone not in BACKBONES:
        names = ", ".join(BACKBONES)
        raise ValueError(f"backbone: expected one of {names}, got {setting.backbone!r}")
    check_precision(find_device(setting.device), setting.precision)
    for factory in setting.against:
        find(factory)


def make_clip(folder: Path, size: tuple[int, int], codec: str, frames: int) -> Path:
    """Render a street of a size (width, height) in whole GOPs of 12, encode it in a folder."""
    count = -(-min(frames, RENDERED) // GOP) * GOP
    street = Street(SEED, *size)
    path = folder / f"street{'.mp4' if codec == 'h264' else '.avi'}"
    pictures = (street.frame(i)[0] for i in tqdm(range(count), "render", unit="frame", delay=2))
    write_clip(path, pictures, codec=codec, gop=GOP, fps=17.0)
    return path


def measure(clip: Path, setting: Setting) -> Report:
    """Time each path and each network it is held against on a clip, and return the report.

    All take turns within one run, and each has its GOPs on end, as a stream comes. ValueError
    where the clip has no key frame or no frame that a non-key step labels.
    """
    before = torch.get_num_threads()
    if setting.threads is not None:
        torch.set_num_threads(setting.threads)
    try:
        return _measure(clip, setting)
    finally:
        torch.set_num_threads(before)


def save_network(folder: Path, report: Report) -> Path:
    """Write what the report calls ``layer2`` as a checkpoint for the segment node."""
    size = cast(tuple[int, int], tuple(report["input_size"]))
    network = our_entries(report["backbone"], size)[2].network
    network.config = replace(network.config, input_size=size)
    path = folder / "layer2.safetensors"
    save_checkpoint(path, cast(TWNet, network))
    return path


def easy_rate(report: Report) -> float:
    """Return packets a second that ``layer2`` has plenty of time for."""
    return min(RATE_HZ, float(report["end_to_end_fps"]["layer2"]) / 2)


@dataclass
class _Runner:
    """An entry in its engine."""

    entry: Entry
    segmenter: Segmenter
    device: str
    cuda_mb: float | None
    samples: Samples = field(default_factory=Samples)

    @property
    def fuses(self) -> bool:
        """Whether the time of its network has the fusion of logits in it."""
        return self.entry.network.config.fuses and not self.entry.per_frame

    def run(self, packets: Sequence[Packet], codec: str) -> None:
        """Take a round twice: stage after stage, then with the stages overlapped."""
        samples, before = self.samples, self.samples.frames
        seconds = one_by_one(packets, codec, self.segmenter, samples.take)
        if samples.frames == before:
            raise ValueError(f"expected frames that can be labelled: {self.segmenter.waiting}")
        samples.alone.append(1e3 * seconds / (samples.frames - before))
        latencies, seconds = overlapped(packets, codec, self.segmenter)
        samples.overlapped.append(1e3 * seconds / len(latencies))
        if self.segmenter.device != self.device:  # out of memory: not what was asked for any more
            raise ValueError(f"{self.entry.name}: {self.segmenter.caveat}")


def _measure(clip: Path, setting: Setting) -> Report:
    info, gops = _read_gops(clip)
    size = (info.width, info.height)
    input_size = setting.input_size or size
    entries = our_entries(setting.backbone, input_size)
    ours = cast(TWNet, entries[-1].network)
    padded = Geometry.of(size, input_size).padded
    for factory in dict.fromkeys(setting.against):
        entries.append(peer_entry(factory, ours.config, padded))
    chosen, precision = choose(ours, setting.device, setting.precision)
    device = str(chosen)
    machine = describe(device)  # before the rounds, whose load is ours

    warm_up = gops[0][:WARM_UP]
    runners = {}
    for entry in tqdm(entries, "warm up", leave=False):
        runners[entry.name] = _start(entry, device, precision, input_size, warm_up, info.codec)
    finest = cast(TWNet, entries[2].network)  # layer 2: no residual guides the third
    front = FrontStages(info.codec, size, input_size, finest, device, precision)
    front.run(warm_up)
    front.forget()

    rounds = split(gops, setting.frames)
    done = dict.fromkeys([*runners, FRONT], 0)
    for name in tqdm(turns(list(done), len(rounds)), "rounds", leave=False):
        packets = rounds[done[name]]
        done[name] += 1
        if name == FRONT:
            front.run(packets)
        else:
            runners[name].run(packets, info.codec)
    every = [packet for packets in rounds for packet in packets]
    for runner in tqdm(runners.values(), f"{RATE_HZ:.0f} Hz", leave=False):
        if runner.samples.keeps_up:
            found, _ = overlapped(every, info.codec, runner.segmenter, 1 / RATE_HZ)
            runner.samples.latency = [1e3 * seconds for seconds in found]
    return _report(info, setting, input_size, runners, front, rounds, machine)


def _read_gops(clip: Path) -> tuple[VideoInfo, list[list[Packet]]]:
    """Return a file's packets by GOP.

    What comes before its first key frame is left out, and a last GOP that was cut short: rounds
    would hold more key frames, or fewer, than others.
    """
    info, packets = read_packets(clip)
    gops: list[list[Packet]] = []
    for packet in packets:
        if packet.key:
            gops.append([])
        if gops:
            gops[-1].append(packet)
    if not gops:
        raise ValueError(f"{clip}: expected a key frame, found none")
    if len(gops) > 1 and len(gops[-1]) < len(gops[-2]):
        gops.pop()
    return info, gops


def split(gops: Sequence[list[Packet]], frames: int) -> list[list[Packet]]:
    """Return rounds of as many whole GOPs each, which have at least so many frames together.

    A clip that is shorter is gone through again.
    """
    taken: list[list[Packet]] = []
    endless = cycle(gops)
    while sum(map(len, taken)) < frames:
        taken.append(next(endless))
    each = -(-len(taken) // MOST_ROUNDS)
    taken += islice(endless, -len(taken) % each)
    return [
        [packet for one in taken[first : first + each] for packet in one]
        for first in range(0, len(taken), each)
    ]


def _start(
    entry: Entry,
    device: str,
    precision: str,
    input_size: tuple[int, int],
    packets: Sequence[Packet],
    codec: str,
) -> _Runner:
    """Make an entry's engine and have it label a few packets, which do not count."""
    cuda = device.startswith("cuda")
    before = 0
    if cuda:
        torch.cuda.init()  # type: ignore[no-untyped-call]  # before it nothing can be reset
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    try:
        network = Network(cast(TWNet, entry.network), device, precision)
        segmenter = Segmenter(network, input_size, entry.per_frame, CODEC_KEYS)
        segmenter.warm_up()
        one_by_one(packets, codec, segmenter, lambda result: None)
    except Exception as error:
        if isinstance(entry.network, Peer):  # somebody else's code, in this precision
            raise ValueError(
                f"{entry.name}: failed in {precision} on {device} with "
                f"{type(error).__name__}: {error}"
            ) from error
        raise
    peak = (torch.cuda.max_memory_allocated(device) - before) / MB if cuda else None
    return _Runner(entry, segmenter, segmenter.device, None if peak is None else round(peak, 1))


def _report(
    info: VideoInfo,
    setting: Setting,
    input_size: tuple[int, int],
    runners: dict[str, _Runner],
    front: FrontStages,
    rounds: list[list[Packet]],
    machine: dict[str, object],
) -> Report:
    every = [packet for packets in rounds for packet in packets]
    ours = {n: r for n, r in runners.items() if not isinstance(r.entry.network, Peer)}
    peers = {n: r for n, r in runners.items() if n not in ours}
    for name, runner in ours.items():
        if not runner.entry.per_frame and not runner.samples.nonkey:
            raise ValueError(f"{name}: expected frames that take the non-key step, got none")
    samples = {name: runner.samples for name, runner in runners.items()}
    steps = {name: found.step_ms for name, found in samples.items()}
    averages = {name: found.gop_ms for name, found in samples.items()}
    others = [name for name in runners if name != PER_FRAME]
    first = runners[PER_FRAME].segmenter
    cuda = {name: runner.cuda_mb for name, runner in runners.items()}
    return {
        "size": [info.width, info.height],
        "codec": info.codec,
        "device": first.device,
        "precision": first.precision,
        "decode_fps": round(float(np.median(front.decode_fps)), 2),
        "step_ms": {name: round(steps[name], 3) for name in ours},
        "end_to_end_fps": {name: round(samples[name].fps, 3) for name in ours},
        "ratios": {
            "step": ratios(steps[PER_FRAME], {name: steps[name] for name in others}),
            "end_to_end": ratios(averages[PER_FRAME], {name: averages[name] for name in others}),
        },
        "latency_30hz_ms": {name: latency(samples[name]) for name in ours},
        "stages_ms": {
            FRONT: {n: spread(values) for n, values in front.times_ms.items() if values},
            **{name: stages(samples[name]) for name in ours},
        },
        "gop_ms": {name: gop(samples[name]) for name in ours},
        "against": {
            name: {
                "step_ms": round(steps[name], 3),
                "end_to_end_fps": round(samples[name].fps, 3),
                "latency_30hz_ms": latency(samples[name]),
                "stages_ms": stages(samples[name]),
                "gop_ms": gop(samples[name]),
                "batch_norms_left": cast(Peer, runner.entry.network).unfolded,
            }
            for name, runner in peers.items()
        },
        "backbone": setting.backbone,
        "weights": {name: runner.entry.weights for name, runner in ours.items()},
        "fused": [name for name, runner in ours.items() if runner.fuses],
        "caveats": {n: r.segmenter.caveat for n, r in runners.items() if r.segmenter.caveat},
        "input_size": list(input_size),
        "frames": len(every),
        "rounds": len(rounds),
        "gop": round(len(every) / sum(packet.key for packet in every), 2),
        "bits_per_pixel": round(
            8 * sum(len(p.data) for p in every) / (len(every) * info.width * info.height), 4
        ),
        "threads": {"torch": torch.get_num_threads(), "ffmpeg": front.threads},
        "peak_memory_mb": {"rss": peak_rss_mb(), "cuda": None if None in cuda.values() else cuda},
        "machine": machine,
    }
