"""The benchmark on a tiny clip: what takes part, in what order, and what the report holds."""

import json
import os
from itertools import count

import numpy as np
import pytest
import torch
from torch import nn

from coded import encode
from twnet_ros.codec import Packet, write_clip
from twnet_ros.learn.speed import benchmark, stage
from twnet_ros.learn.speed.benchmark import (
    Setting,
    check,
    easy_rate,
    make_clip,
    measure,
    save_network,
    split,
)
from twnet_ros.learn.speed.sheet import markdown, write_json
from twnet_ros.learn.speed.stage import FrontStages
from twnet_ros.net import Config, TWNet, load_checkpoint
from twnet_ros.segment import Network

OURS = ["per_frame", "layer1", "layer2", "layer3"]
TINY = {"device": "cpu", "precision": "fp32"}
TOP = ["size", "codec", "device", "precision", "decode_fps", "step_ms", "end_to_end_fps"]


def tiny_peer():
    return nn.Conv2d(3, 7, 8, 8)


def half_peer():
    """Fails in any precision but float32."""
    return nn.Sequential(nn.Conv2d(3, 7, 8, 8), Float())


class Float(nn.Module):
    def forward(self, x):
        return x @ torch.eye(x.shape[-1])


PEER = f"{__name__}:tiny_peer"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Eight frames of 96x64 in GOPs of four."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    small = np.random.default_rng(0).integers(0, 255, (8, 16, 3), np.uint8)
    world = small.repeat(8, 0).repeat(8, 1)
    write_clip(path, (world[:, 2 * i : 2 * i + 96] for i in range(8)), codec="mpeg4", gop=4)
    return path


@pytest.fixture(scope="module")
def report(clip):
    return measure(clip, Setting(frames=12, against=[PEER, PEER], threads=1, **TINY))


def test_the_report_begins_with_what_was_agreed(report):
    assert list(report)[: len(TOP)] == TOP
    assert (report["size"], report["codec"]) == ([96, 64], "mpeg4")
    assert (report["device"], report["precision"]) == ("cpu", "fp32")
    for kind in ("step_ms", "end_to_end_fps"):
        assert list(report[kind]) == OURS
        assert all(isinstance(v, float) and v > 0 for v in report[kind].values())
    assert report["decode_fps"] > 0
    assert json.loads(json.dumps(report)) == report


def test_the_report_says_what_was_timed(report):
    assert (report["frames"], report["rounds"], report["gop"]) == (12, 3, 4.0)
    assert report["input_size"] == [96, 64]
    assert report["threads"] == {"torch": 1, "ffmpeg": 1}
    assert list(report["weights"]) == OURS
    assert list(report["latency_30hz_ms"]) == list(report["gop_ms"]) == OURS
    assert report["peak_memory_mb"]["rss"] > 50 and report["peak_memory_mb"]["cuda"] is None
    assert report["machine"]["cpu"] and report["machine"]["torch"] == torch.__version__


def test_stages_are_those_of_the_path(report):
    stages = report["stages_ms"]
    assert list(stages) == ["front", *OURS]
    assert list(stages["front"]) == ["ffmpeg", "vectors", "preprocess", "residual"]
    common = {"decode", "key_input", "key", "output", "end_to_end"}
    assert set(stages["per_frame"]) == common
    for layer in OURS[1:]:
        assert set(stages[layer]) == common | {"nonkey_input", "nonkey"}
        assert report["step_ms"][layer] == stages[layer]["nonkey"]["median"]
    assert report["step_ms"]["per_frame"] == stages["per_frame"]["key"]["median"]


def test_ratios_are_those_of_the_numbers_beside_them(report):
    steps, fps = dict(report["step_ms"]), dict(report["end_to_end_fps"])
    for name, peer in report["against"].items():
        steps[name], fps[name] = peer["step_ms"], peer["end_to_end_fps"]
    ratios = report["ratios"]
    assert list(ratios["step"]) == list(ratios["end_to_end"]) == [*OURS[1:], PEER]
    for name in ratios["step"]:
        assert ratios["step"][name] == pytest.approx(steps["per_frame"] / steps[name], rel=0.02)
        expected = fps[name] / fps["per_frame"]
        assert ratios["end_to_end"][name] == pytest.approx(expected, rel=0.02)


def test_a_peer_is_timed_once_to_the_same_end(report):
    assert list(report["against"]) == [PEER]
    peer = report["against"][PEER]
    assert set(peer["stages_ms"]) == set(report["stages_ms"]["per_frame"])
    assert peer["end_to_end_fps"] > 0 and peer["batch_norms_left"] == 0


def test_markdown_has_a_row_a_path(report):
    text = markdown({**report, "latency_30hz_ms": dict.fromkeys(OURS, "falls behind")})
    for name in [*OURS, PEER]:
        assert f"| `{name}` | " in text
    assert text.count("falls behind") >= 4
    assert "FFmpeg's decoder with vectors, 1 thread" in text
    assert f"`layer2`: {report['weights']['layer2']} weights" in text
    assert "the node from" not in text
    assert "labels meet everywhere" in text
    assert ("logits fused within" in text) == bool(report["fused"])
    overhead = {"median": 3.0, "p95": 4.0, "frames": 9, "rate_hz": 5.0}
    assert "3.0 / 4.0 ms, 9 frames at 5.0 Hz" in markdown({**report, "node_overhead_ms": overhead})


def test_json_appears_whole_or_not_at_all(report, tmp_path):
    path = tmp_path / "report.json"
    write_json(path, report)
    assert json.loads(path.read_text()) == report
    with pytest.raises(TypeError):
        write_json(path, {"size": object()})
    assert json.loads(path.read_text()) == report
    assert list(tmp_path.iterdir()) == [path]


def test_the_paths_take_turns_after_a_warm_up_that_does_not_count(clip, monkeypatch):
    seen = []
    run, label = benchmark._Runner.run, benchmark.one_by_one

    def watched(runner, packets, codec):
        seen.append((runner.entry.name, [p.data for p in packets]))
        assert len(runner.samples.alone) == len(runner.samples.overlapped)
        run(runner, packets, codec)

    def counted(packets, codec, segmenter, take):
        if not seen:
            warmed.append(segmenter)
        return label(packets, codec, segmenter, take)

    warmed = []
    monkeypatch.setattr(benchmark._Runner, "run", watched)
    monkeypatch.setattr(benchmark, "one_by_one", counted)
    report = measure(clip, Setting(frames=8, **TINY))
    names = [name for name, _ in seen]
    assert sorted(names[:4]) == sorted(names[4:]) == sorted(OURS)
    assert names[:4] != names[4:]
    assert all(data == seen[0][1] for _, data in seen[:4])
    assert all(data == seen[4][1] for _, data in seen[4:])
    assert seen[0][1] != seen[4][1]
    assert len({id(one) for one in warmed}) == 4
    assert report["frames"] == 8


def test_threads_are_put_back(clip, monkeypatch):
    before = torch.get_num_threads()

    def entries(*_):
        raise ValueError(f"{torch.get_num_threads()} threads")

    monkeypatch.setattr(benchmark, "our_entries", entries)
    with pytest.raises(ValueError, match=f"{before + 1} threads"):
        measure(clip, Setting(threads=before + 1))
    assert torch.get_num_threads() == before


def test_a_gpu_says_its_name_and_its_memory(clip):
    if not torch.cuda.is_available():
        if os.environ.get("TWNET_REQUIRE_GPU") == "1":
            pytest.fail("no GPU")
        pytest.skip("no GPU")
    report = measure(clip, Setting(frames=4, device="cuda", against=[PEER]))
    assert report["device"] == "cuda:0"
    assert report["machine"]["gpu"]["name"] == torch.cuda.get_device_name(0)
    assert list(report["peak_memory_mb"]["cuda"]) == [*OURS, PEER]
    assert all(mb > 0 for mb in report["peak_memory_mb"]["cuda"].values())
    assert "GPU memory at its peak" in markdown(report)


def test_a_clip_of_key_frames_alone_is_refused(tmp_path):
    path = tmp_path / "intra.avi"
    frames = np.random.default_rng(0).integers(0, 255, (3, 64, 96, 3), np.uint8)
    write_clip(path, frames, codec="mpeg4", gop=1)
    with pytest.raises(ValueError, match="layer1: expected frames that take the non-key step"):
        measure(path, Setting(frames=3, **TINY))


def test_a_peer_that_fails_in_the_precision_is_named(clip):
    factory = f"{__name__}:half_peer"
    setting = Setting(frames=4, device="cpu", precision="bf16", against=[factory])
    with pytest.raises(ValueError, match=f"{factory}: failed in bf16 on cpu with RuntimeError"):
        measure(clip, setting)


def test_an_engine_that_changed_its_device_is_no_result(clip, monkeypatch):
    def move(packets, codec, segmenter, period_s=0.0):
        segmenter._moved = "out of memory on cuda:0: the network runs on the CPU, in fp32"
        segmenter._network.device = torch.device("meta")
        return [1.0], 1.0

    monkeypatch.setattr(benchmark, "overlapped", move)
    with pytest.raises(ValueError, match="per_frame: out of memory on cuda:0"):
        measure(clip, Setting(frames=4, **TINY))


def test_what_is_not_as_it_could_be_is_told_and_is_a_result(clip, monkeypatch):
    text = "the network runs kernel by kernel"
    monkeypatch.setattr(Network, "caveat", property(lambda network: text))
    report = measure(clip, Setting(frames=4, **TINY))
    assert report["caveats"] == dict.fromkeys(OURS, text)
    assert f"`layer1`: {text}" in markdown(report)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"backbone": "alexnet"}, "backbone: expected one of .*, mobilenetv1, .*, got 'alexnet'"),
        ({"device": "tpu"}, "device: expected auto or one of cpu"),
        ({"against": ["no_such_module:make"]}, "no_such_module:make: expected a factory"),
    ],
)
def test_what_cannot_be_timed_is_refused_at_once(setting, message):
    check(Setting())
    with pytest.raises(ValueError, match=message):
        check(Setting(**setting))


def gops(*lengths):
    return [[Packet(bytes([k, i]), 0, i == 0) for i in range(n)] for k, n in enumerate(lengths)]


def test_rounds_are_whole_gops():
    rounds = split(gops(3, 3, 3), 7)
    assert [[p.data for p in one] for one in rounds] == [
        [bytes([k, i]) for i in range(3)] for k in range(3)
    ]


def test_a_short_clip_is_gone_through_again_in_rounds_alike():
    rounds = split(gops(4, 4), 48)  # twelve GOPs, in at most five rounds
    assert [len(one) for one in rounds] == [12] * 4
    assert [p.data[0] for p in rounds[0] if p.key] == [0, 1, 0]
    assert [p.data[0] for p in rounds[1] if p.key] == [1, 0, 1]


@pytest.mark.parametrize("codec, suffix", [("mpeg4", ".avi"), ("h264", ".mp4")])
def test_the_clip_that_is_made_has_whole_gops_of_twelve(tmp_path, codec, suffix):
    path = make_clip(tmp_path, (96, 64), codec, 13)
    assert path.suffix == suffix
    info, found = benchmark._read_gops(path)
    assert (info.codec, info.width, info.height) == (codec, 96, 64)
    assert [len(gop) for gop in found] == [12, 12]


def test_a_last_gop_that_is_cut_short_is_left_out(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (14, 48, 64, 3), np.uint8)
    write_clip(tmp_path / "clip.avi", pictures, codec="mpeg4", gop=6)
    assert [len(gop) for gop in benchmark._read_gops(tmp_path / "clip.avi")[1]] == [6, 6]
    write_clip(tmp_path / "short.avi", pictures[:4], codec="mpeg4", gop=6)
    assert [len(gop) for gop in benchmark._read_gops(tmp_path / "short.avi")[1]] == [4]


def test_ffmpeg_is_timed_until_all_pictures_are_out(monkeypatch):
    planes = np.random.default_rng(0).integers(0, 256, (12, 72, 64), np.uint8)
    coded = encode("h264", planes, {"x264-params": "bframes=2:b-adapt=0"})
    config = Config("mobilenetv1", 1, ("a", "b"), ((0, 0, 0),) * 2, (64, 32))
    front = FrontStages("h264", (64, 48), (64, 32), TWNet(config), "cpu", "fp32")
    ticks = count()
    monkeypatch.setattr(stage.time, "perf_counter", lambda: float(next(ticks)))  # a second each
    front._run_ffmpeg([Packet(data, 0, False) for data in coded])
    assert front.decode_fps == [12 / 13]  # twelve packets, and what FFmpeg held at the end
    assert front.times_ms["ffmpeg"] == [1000.0] * 12


def test_the_nodes_model_is_layer_2_at_the_size_that_was_timed(report, tmp_path):
    config = load_checkpoint(save_network(tmp_path, report)).config
    assert (config.backbone, config.layer, config.input_size) == ("mobilenetv1", 2, (96, 64))


def test_the_easy_rate_leaves_half_the_time():
    assert easy_rate({"end_to_end_fps": {"layer2": 9.0}}) == 4.5
    assert easy_rate({"end_to_end_fps": {"layer2": 900.0}}) == 30.0
