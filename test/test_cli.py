"""The command line: what it prints, what it writes, and how it fails."""

import json
import os
import shutil
import signal
import subprocess
import sys

import av
import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from twnet_ros import cli
from twnet_ros.cli import argument, parser
from twnet_ros.codec import read_packets
from twnet_ros.learn.data.still import DataError
from twnet_ros.learn.evaluation.evaluate import make_clips
from twnet_ros.net import Config, TWNet, load_checkpoint, publication, save_checkpoint
from twnet_ros.segment import MOTION_SOURCES, Segmenter, key_policy, picture, to_rgb
from twnet_ros.segment.palette import CAMVID
from twnet_ros.segment.replay import decode

COMMANDS = [module.__name__.rpartition(".")[2] for module in cli.COMMANDS]


@pytest.fixture
def frames(tmp_path):
    """A folder of five frames of a panning camera."""
    folder = tmp_path / "frames"
    folder.mkdir()
    small = np.random.default_rng(0).integers(0, 256, (6, 14, 3), dtype=np.uint8)
    world = cv2.resize(small, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    for number in range(5):
        cv2.imwrite(str(folder / f"{number:05d}.png"), world[:, 3 * number : 3 * number + 80])
    return folder


@pytest.fixture
def clip(twnet, frames, tmp_path):
    """The frames as an MPEG-4 file with GOP 3."""
    path = tmp_path / "drive.avi"
    assert twnet("encode", frames, path, "--gop", 3)[0] == 0
    return path


@pytest.mark.parametrize("command", [*COMMANDS, "train key", "train nonkey"])
def test_help_shows_an_example(twnet, command):
    status, out, _ = twnet(*command.split(), "--help")
    assert status == 0
    assert f"example: twnet {command} " in " ".join(" ".join(out).split())


def test_help_lists_the_commands(twnet):
    status, out, _ = twnet("--help")
    assert status == 0
    for command in COMMANDS:
        assert any(line.split()[:1] == [command] for line in out)


@pytest.mark.parametrize(
    "codec, suffix, rate",
    [("mpeg4", ".avi", ("--bitrate", "500k")), ("h264", ".mp4", ("--crf", 20))],
)
def test_encode_inspect_and_segment(twnet, frames, tmp_path, model, codec, suffix, rate):
    clip = tmp_path / f"drive{suffix}"
    options = ("--codec", codec, "--gop", 4, "--fps", 10, *rate)
    assert twnet("encode", frames, clip, *options)[0] == 0
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == (codec, 10)
        assert (stream.width, stream.height) == (80, 48)

    status, out, _ = twnet("inspect", clip, "--json", "--dump", tmp_path / "dump")
    assert status == 0
    rows = json.loads(out[-1])
    assert [row["type"] for row in rows] == list("IPPPI")
    assert all(row["vector_blocks"] > 0 for row in rows if row["type"] == "P")
    dumped = sorted((tmp_path / "dump").iterdir())
    assert [p.name for p in dumped] == [f"frame_{i:05d}.npz" for i in range(5)]
    with np.load(dumped[1]) as side:
        assert str(side["type"]) == "P"
        assert side["motion"].shape == (48, 80, 2) and side["motion"].dtype == np.float32
        assert side["coded"].shape == (48, 80) and side["coded"].dtype == np.bool_
        assert side["residual"].shape == (48, 80, 3) and side["residual"].dtype == np.float32
        inside = side["coded"] & (np.indices((48, 80))[1] < 60)
        assert abs(np.median(side["motion"][inside][:, 0]) - 3) < 0.5

    labels, overlay = tmp_path / "labels", tmp_path / "overlay.mp4"
    tiny = ("--model", model, "--device", "cpu", "--precision", "fp32")
    status, out, _ = twnet("segment", clip, *tiny, "-o", overlay, "--labels", labels)
    assert status == 0
    summary = json.loads(out[-1])
    timings = ["frames", "key_steps", "fps", "ms_key", "ms_nonkey"]
    assert list(summary) == [*timings, "device", "precision"]
    assert (summary["frames"], summary["key_steps"]) == (5, 2)
    segmenter = Segmenter.load(model, "cpu", "fp32")
    expected = [segmenter.step(frame)[0].labels for frame in decode(clip)]
    written = sorted(labels.iterdir())
    assert [p.name for p in written] == [f"{i:05d}.png" for i in range(5)]
    for file, ids in zip(written, expected, strict=True):
        np.testing.assert_array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), ids)
    with av.open(str(overlay)) as container:
        assert len(list(container.decode(video=0))) == 5


def test_segment_in_other_classes(twnet, clip, model, tmp_path):
    tiny = ("--model", model, "--device", "cpu", "--precision", "fp32")
    stack = tmp_path / "stack.json"
    sources = {"left": ["c"], "right": ["a"]}
    content = {"names": ["left", "right"], "colors": [[9, 0, 0], [0, 9, 0]], "sources": sources}
    stack.write_text(json.dumps({**content, "unlabelled": ["b"]}))
    assert twnet("segment", clip, *tiny, "--labels", tmp_path / "own")[0] == 0
    options = ("--labels", tmp_path / "stack", "--class-map", stack)
    assert twnet("segment", clip, *tiny, *options)[0] == 0
    assert len(list((tmp_path / "own").iterdir())) == 5
    for file in (tmp_path / "own").iterdir():
        own = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        found = cv2.imread(str(tmp_path / "stack" / file.name), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(found, np.array([1, 255, 0], np.uint8)[own])
    options = ("--labels", tmp_path / "none", "--class-map", "driving")
    fails(twnet("segment", clip, *tiny, *options), "driving.json: expected", "missing a, b, c")
    assert not (tmp_path / "none").exists()


def test_chaos(twnet, clip, model, tmp_path):
    status, out, _ = twnet("chaos", clip, "--loss", 1, "--seed", 0)
    assert status == 0
    summary = json.loads(out[-1])
    assert (summary["sent"], summary["published"]) == (5, 0)
    assert summary["accounted_for"] == {"lost": 5}
    tiny = ("--model", model, "--device", "cpu", "--precision", "fp32")
    whole, labels = tmp_path / "whole", tmp_path / "labels"
    assert twnet("segment", clip, *tiny, "--labels", whole)[0] == 0
    damage = ("--duplicate", 0.5, "--flip", 0, "--seed", 1)
    status, out, _ = twnet("chaos", clip, *damage, "--labels", labels, *tiny)
    assert status == 0
    summary = json.loads(out[-1])
    assert summary["published"] == 5
    assert summary["sent"] == 5 + summary["faults"]["duplicate"]["noticed"]
    assert len(list(whole.iterdir())) == 5
    for file in whole.iterdir():
        assert (labels / file.name).read_bytes() == file.read_bytes()


@pytest.fixture
def peer(tmp_path, monkeypatch):
    """A module of the current folder that makes networks; its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    text = "from torch import nn\n\ndef make():\n    return nn.Conv2d(3, 4, 8, 8)\n"
    (tmp_path / "peers_of_cli.py").write_text(text)
    yield "peers_of_cli"
    sys.modules.pop("peers_of_cli", None)


def test_benchmark(twnet, clip, tmp_path, peer):
    path = tmp_path / "speed.json"
    fixed = ("--device", "cpu", "--precision", "fp32", "--threads", 1)
    against = ("--against", f"{peer}:make")
    status, out, _ = twnet("benchmark", clip, "--frames", 5, "--json", path, *against, *fixed)
    assert status == 0
    report = json.loads(path.read_text())
    assert (report["size"], report["codec"], report["frames"]) == ([80, 48], "mpeg4", 6)
    for name in ("per_frame", "layer1", "layer2", "layer3", f"{peer}:make"):
        assert sum(line.startswith(f"| `{name}` |") for line in out) == 1

    street = ("--size", "96x64", "--codec", "h264", "--frames", 12, "--input-size", "64x32")
    status, out, _ = twnet("benchmark", *street, "--backbone", "ddrnet23slim", *fixed)
    assert status == 0
    assert out[0].startswith("ddrnet23slim, 96x64 h264 ")
    assert "GOP 12), network at 64x32 on cpu in fp32" in out[0]


def test_a_benchmark_that_fails_says_why_before_it_measures(twnet, clip, tmp_path, peer):
    path = tmp_path / "none" / "speed.json"
    fails(
        twnet("benchmark", clip, "--json", path), "--json: expected a file in an existing folder"
    )
    fails(twnet("benchmark", clip, "--json", tmp_path), "--json: expected a file in an existing")
    fails(twnet("benchmark", clip, "--size", "96x64"), "--size and --codec: expected without CLIP")
    found = twnet("benchmark", clip, "--against", f"{peer}:none")
    fails(found, f"{peer}:none: expected a factory to import, got AttributeError")
    fails(twnet("benchmark", clip, "--backbone", "alexnet"), "backbone: expected one of")
    fails(twnet("benchmark", tmp_path / "none.mp4"), "expected a video file")


def test_inspect_prints_a_table(twnet, clip):
    status, out, _ = twnet("inspect", clip)
    assert status == 0
    assert out[0].split()[:2] == ["frame", "type"]
    assert [line.split()[1] for line in out[1:]] == list("IPPIP")


def test_segment_per_frame_and_at_another_size(twnet, clip, model):
    size = ("--input-size", "96x64")
    status, out, _ = twnet(
        "segment", clip, "--model", model, "--device", "cpu", "--per-frame", *size
    )
    assert status == 0
    summary = json.loads(out[-1])
    assert (summary["frames"], summary["key_steps"], summary["ms_nonkey"]) == (5, 5, None)


def test_the_key_policy_is_the_node_s_unless_told_otherwise():
    options = parser().parse_args(["segment", "clip.avi"])
    given = options.key_policy, options.key_interval, options.key_intra, options.key_residual
    assert key_policy(*given) == key_policy("adaptive")


def test_segment_with_more_key_steps(twnet, clip, model):
    policy = ("--key-policy", "interval", "--key-interval", 2)
    status, out, _ = twnet("segment", clip, "--model", model, "--device", "cpu", *policy)
    assert status == 0
    summary = json.loads(out[-1])  # I P P I P
    assert (summary["frames"], summary["key_steps"]) == (5, 3)


PRINTING = """
import sys, twnet_ros.cli.streets as module
from twnet_ros.cli import main

def streets(options):
    for _ in range({lines}):
        print("a line")
    sys.stdin.read()

module.streets = streets
sys.exit(main(["streets", "out"]))
"""


@pytest.mark.parametrize("lines", [1, 100_000])
@pytest.mark.parametrize("buffered", ["", "1"])
def test_who_has_read_enough_ends_the_command_quietly(monkeypatch, lines, buffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", buffered)
    pipe, program = subprocess.PIPE, PRINTING.format(lines=lines)
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        process.stdout.close()
        process.stdin.close()  # it may go on
        assert (process.stderr.read(), process.wait()) == (b"", 141)


def test_with_its_output_closed_a_command_does_its_work(clip, tmp_path):
    """As in ``twnet … >&-``."""
    program = "import sys; from twnet_ros.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "inspect", str(clip), "--dump", str(tmp_path / "a")]
    found = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE, text=True
    )
    assert (found.returncode, "Traceback" in found.stderr) == (0, False)
    assert len(list((tmp_path / "a").iterdir())) == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_leaves_nothing_half_written(
    twnet, frames, tmp_path, monkeypatch, number
):
    """As ``timeout``, systemd and a closed terminal send it; afterwards it is taken as before."""
    before, read = signal.signal(number, signal.SIG_DFL), picture.read_rgb  # nohup ignores it

    def end(path):
        if path.stem == "00003":
            os.kill(os.getpid(), number)
        return read(path)

    monkeypatch.setattr(picture, "read_rgb", end)
    try:
        status, _, err = twnet("encode", frames, tmp_path / "drive.mp4")
        after = signal.getsignal(number)
    finally:
        signal.signal(number, before)
    assert (status, err[-1]) == (128 + number, "twnet: interrupted; finished files are whole")
    assert not [line for line in err if "twnet:" in line[1:]]  # behind a bar
    assert list(tmp_path.iterdir()) == [frames]
    assert after is signal.SIG_DFL


def test_what_a_closed_terminal_shall_not_end_goes_on(twnet, frames, tmp_path, monkeypatch):
    before, read = signal.signal(signal.SIGHUP, signal.SIG_IGN), picture.read_rgb

    def hang_up(path):
        os.kill(os.getpid(), signal.SIGHUP)
        return read(path)

    monkeypatch.setattr(picture, "read_rgb", hang_up)
    try:
        assert twnet("encode", frames, tmp_path / "drive.mp4")[0] == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_error_has_a_line_of_its_own(twnet, frames, tmp_path):
    cv2.imwrite(str(frames / "00003.png"), np.zeros((30, 40, 3), np.uint8))
    status, _, err = twnet("encode", frames, tmp_path / "drive.mp4")
    expected = "twnet: expected frames (48, 80, 3) uint8, got (30, 40, 3) uint8 in frame 3"
    assert (status, err[-1]) == (1, expected)


def test_names_with_a_colon_are_no_urls(twnet, frames, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert twnet("encode", frames, "drive-12:30.mp4")[0] == 0
    status, out, _ = twnet("inspect", "drive-12:30.mp4", "--json")
    assert (status, len(json.loads(out[-1]))) == (0, 5)


@pytest.mark.parametrize("command", ["inspect", "segment"])
def test_a_video_without_a_key_frame(twnet, clip, model, tmp_path, command):
    cut = tmp_path / "cut.m4v"
    cut.write_bytes(b"".join(packet.data for packet in list(read_packets(clip)[1])[1:3]))
    given = ("--model", model, "--device", "cpu") if command == "segment" else ()
    status, out, err = twnet(command, cut, *given)
    assert (status, out) == (1, [])
    assert err[-1] == f"twnet: {cut}: expected a key frame, found none"


@pytest.mark.parametrize(
    ("command", "use"),
    [
        ("view /a/drive -o {out}", "/a/drive, where no such file is, as a topic or a node"),
        ("demo", "the demo"),
        ("benchmark --ros", "--ros"),
    ],
)
def test_without_ros_it_is_said_what_needs_it(twnet, monkeypatch, tmp_path, command, use):
    find = argument.find_spec
    monkeypatch.setattr(argument, "find_spec", lambda one: None if one == "rclpy" else find(one))
    found = twnet(*command.format(out=tmp_path / "out.mp4").split())
    fails(found, f"{use}: expected a ROS 2 that is sourced, found no rclpy")


def test_another_broken_pipe_is_told(twnet, monkeypatch):
    def streets(options):
        read, write = os.pipe()
        os.close(read)
        os.write(write, b"a")

    monkeypatch.setattr("twnet_ros.cli.streets.streets", streets)
    assert twnet("streets", "out") == (1, [], ["twnet: [Errno 32] Broken pipe"])


class Damaged(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise DataError("a.png: expected labels, found none")


def test_an_error_in_a_loaders_process_is_one_line(twnet, monkeypatch):
    def streets(options):
        list(DataLoader(Damaged(), num_workers=1))

    monkeypatch.setattr("twnet_ros.cli.streets.streets", streets)
    assert twnet("streets", "out") == (1, [], ["twnet: a.png: expected labels, found none"])


def test_how_to_label_is_for_chaos_that_labels(twnet, clip, model):
    found = twnet("chaos", clip, "--seed", 1, "--model", model)
    fails(found, "--model: expected --labels, which it is for")


def test_a_precision_that_is_not_offered_is_said_before_a_clip_is_made(twnet, monkeypatch):
    monkeypatch.setattr("twnet_ros.learn.speed.benchmark.make_clip", None)
    found = twnet("benchmark", "--device", "cpu", "--precision", "fp16")
    fails(found, "precision on cpu: expected auto or one of fp32, bf16", "'fp16'")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("streets {out} --frames 1 --size 64x32", "OUT_DIR: expected a folder without *.png, got"),
        ("segment {clip} --model {model} --labels {out}", "--labels: expected a folder without *"),
        ("chaos {clip} --seed 1 --model {model} --labels {out}", "--labels: expected a folder"),
        ("inspect {clip} --dump {out}", "--dump: expected a folder without *.npz, got"),
    ],
)
def test_what_is_written_to_a_folder_does_not_mix_with_older_files(
    twnet, clip, model, tmp_path, command, expected
):
    given = command.format(out=tmp_path / "out", clip=clip, model=model).split()
    assert twnet(*given)[0] == 0
    fails(twnet(*given), expected)


@pytest.mark.parametrize("command", ["segment", "view"])
def test_the_output_does_not_take_the_clips_place(twnet, clip, model, command):
    before = clip.read_bytes()
    found = twnet(command, clip, "--model", model, "-o", clip.parent / "." / clip.name)
    fails(found, "-o: expected another file than the clip")
    assert clip.read_bytes() == before


def test_a_demonstration_leaves_other_labels_alone(twnet, tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "00000.png").write_bytes(b"by hand")
    fails(twnet("demo", "--out", tmp_path), "expected a folder for demonstrations alone")
    (tmp_path / "contact_sheet.png").touch()
    (tmp_path / "labels" / "notes.txt").touch()
    fails(twnet("demo", "--out", tmp_path), "expected a folder for demonstrations alone")
    (tmp_path / "labels" / "notes.txt").unlink()
    (tmp_path / "contact_sheet.png").unlink()
    (tmp_path / "labels" / "00000.png").rename(tmp_path / "00000.png")
    (tmp_path / "labels").rmdir()
    (tmp_path / "labels").symlink_to(tmp_path.parent)
    fails(twnet("demo", "--out", tmp_path), "expected a folder for demonstrations alone")
    (tmp_path / "labels").unlink()
    for name in ("overlay.mp4", "contact_sheet.png"):
        (tmp_path / name).write_bytes(b"by another command")
        fails(twnet("demo", "--out", tmp_path), f"found another's {name}")
        (tmp_path / name).unlink()
    (tmp_path / "labels.part").mkdir()
    (tmp_path / "labels.part" / "notes.txt").touch()
    fails(twnet("demo", "--out", tmp_path), "found another's labels.part")
    shutil.rmtree(tmp_path / "labels.part")
    found = twnet("demo", tmp_path / "none.mp4", "--out", tmp_path)
    fails(found, "expected a video file")
    assert [path.name for path in tmp_path.iterdir()] == ["00000.png"]


def test_frames_are_in_the_order_of_their_numbers(twnet, frames, tmp_path):
    for path in frames.iterdir():
        path.rename(frames / f"frame_{4 * int(path.stem)}.png")  # 0, 4, 8, 12, 16
    assert twnet("encode", frames, tmp_path / "clip.avi", "--bitrate", "2M")[0] == 0
    shown = [to_rgb(frame).astype(int) for frame in decode(tmp_path / "clip.avi")]
    for number, rgb in enumerate(shown):
        expected = cv2.imread(str(frames / f"frame_{4 * number}.png"))[..., ::-1]
        assert np.abs(rgb - expected).mean() < 8


@pytest.mark.parametrize(
    "step, package, name", [("train", "yaml", "PyYAML"), ("evaluate", "matplotlib", "matplotlib")]
)
def test_what_is_not_installed_is_named(twnet, monkeypatch, tmp_path, step, package, name):
    find = argument.find_spec
    monkeypatch.setattr(argument, "find_spec", lambda one: None if one == package else find(one))
    out = ("--data", "streets", "--out", tmp_path / "run")
    config = tmp_path / "key.yaml"
    config.write_text("seed: 1\n")
    if package == "yaml":
        monkeypatch.setitem(sys.modules, "yaml", None)
        found = twnet("train", "key", "--config", config, *out)
        fails(found, "--config: expected PyYAML: pip install PyYAML")
    found = twnet(*{"train": ("train", "key"), "evaluate": ("evaluate", "a")}[step], *out)
    fails(found, f"expected {name}: pip install {name}")
    assert not (tmp_path / "run").exists()


def test_streets(twnet, tmp_path):
    arguments = ("--frames", 2, "--size", "96x64", "--seed", 3)
    assert twnet("streets", tmp_path / "drive", *arguments)[0] == 0
    for folder in ("frames", "labels"):
        names = sorted(p.name for p in (tmp_path / "drive" / folder).iterdir())
        assert names == ["00000.png", "00001.png"]


@pytest.fixture
def stills(tmp_path):
    """Write three labelled stills; return the options that train on two of them."""
    data = tmp_path / "data"
    for folder in ("images", "labels"):
        (data / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a_0", "a_1", "b_0"):
        ids = rng.integers(0, 11, (8, 12), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        cv2.imwrite(str(data / "images" / f"{name}.png"), 20 * ids[..., None].repeat(3, 2))
        cv2.imwrite(str(data / "labels" / f"{name}.png"), ids)
    return ("--data", data, "--classes", "camvid", "--clip-size", "96x64", "--hold-out", "b")


def test_train_both_steps_on_stills(twnet, tmp_path, stills, monkeypatch):
    def few(source, count, frames, coding, seed):
        return make_clips(source, 1, 4, coding, seed)

    monkeypatch.setattr("twnet_ros.learn.training.train.make_clips", few)
    common = stills
    short = ("--iterations", 2, "--batch", 2, "--precision", "fp32")
    key, nonkey = tmp_path / "key", tmp_path / "nonkey"
    status, _, err = twnet("train", "key", *common, *short, "--crop", "64x64", "--out", key)
    assert status == 0, err
    first = load_checkpoint(key / "model.safetensors")
    assert (first.config.input_size, len(first.config.classes)) == ((96, 64), 11)
    model = ("--model", key / "model.safetensors")
    status, _, err = twnet("train", "nonkey", *common, *short, *model, "--out", nonkey)
    assert status == 0, err
    second = load_checkpoint(nonkey / "model.safetensors")
    for name, tensor in first.keyframe.state_dict().items():
        if "num_batches" not in name:
            assert torch.equal(second.keyframe.state_dict()[name], tensor), name
    assert second.cfr.predict.weight.any()
    kept = ("--iterations", 0, "--out", tmp_path / "kept")
    last = ("--init", nonkey / "last.safetensors")
    assert twnet("train", "nonkey", *common, *short, *model, *last, *kept)[0] == 0
    files = [folder / "last.safetensors" for folder in (nonkey, tmp_path / "kept")]
    assert files[0].read_bytes() == files[1].read_bytes()
    unfit = ("--init", key / "model.safetensors", "--out", tmp_path / "unfit")
    found = twnet("train", "nonkey", *common, *short, *model, *unfit)
    fails(found, "model.safetensors: expected a model of the second step, got one of the first")
    none = ("--layer", 2, "--correction", "none", "--iterations", 0, "--out", tmp_path / "cut")
    status, _, err = twnet("train", "nonkey", *common, *short, *model, *none)
    assert status == 0, err
    cut = load_checkpoint(tmp_path / "cut" / "model.safetensors")
    assert (cut.config.layer, cut.config.correction) == (2, "none")
    image = torch.randn(1, 3, 64, 96)
    assert torch.equal(cut.key(image)[0], first.key(image)[0])
    deep = ("--layer", 3, "--iterations", 0, "--out", tmp_path / "deep")
    assert twnet("train", "nonkey", *common, *short, *model, *deep)[0] == 0
    model = ("--model", tmp_path / "deep" / "model.safetensors")
    shallow = ("--layer", 1, "--iterations", 0, "--out", tmp_path / "shallow")
    assert twnet("train", "nonkey", *common, *short, *model, *shallow)[0] == 0
    cut = load_checkpoint(tmp_path / "shallow" / "model.safetensors")
    assert (cut.config.layer, cut.config.correction) == (1, "rga")

    written = (key / "model.safetensors").read_bytes()
    config = ("train", "key", "--config", key / "config.yaml")
    assert twnet(*config)[0] == 0  # there is nothing left to do
    assert (key / "model.safetensors").read_bytes() == written
    fails(twnet(*config, "--rate", 1), "expected rate 0.003 to resume the run, got 1.0")
    status, _, err = twnet(*config, "--out", tmp_path / "again")
    assert status == 0, err
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == written

    lengths = ("--clips", 1, "--frames", 3, "--gop", 3)
    status, out, _ = twnet("evaluate", nonkey / "model.safetensors", *common, *lengths)
    assert status == 0
    methods = [line.split("|")[2].strip() for line in out if line.startswith("|")]
    assert methods[2:7] == ["per_frame", "twnet", "adaptive", "warping", "repeat"]


def test_evaluate_chosen_methods(twnet, tmp_path, stills):
    model = tmp_path / "model.safetensors"
    config = Config("mobilenetv1", 1, CAMVID.names, CAMVID.colors, (96, 64))
    save_checkpoint(model, TWNet(config).eval())
    scored = ("evaluate", model, *stills, "--clips", 1, "--frames", 4, "--precision", "fp32")
    chosen = ("--methods", "adaptive", "interp_mv", "prop_mv", "--motion", "none")
    report = ("--seed", 2, "--out", tmp_path / "report")
    status, out, err = twnet(*scored, "--gop", 3, *chosen, *report)
    assert status == 0, err
    assert json.loads((tmp_path / "report" / "report.json").read_text())["seed"] == 2
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out if line[:1] == "|"]
    assert [row[1] for row in rows[2:5]] == ["adaptive", "interp_mv", "prop_mv"]
    keys, delay = rows[0].index("key steps"), rows[0].index("delay")
    assert [row[delay] for row in rows[2:5]] == ["0", "2", "0"]
    assert [row[keys] for row in rows[3:5]] == ["50 %", "50 %"]  # adaptive ones are the clip's
    found = twnet(*scored, "--gop", 4, *chosen)
    fails(found, "interp_mv: expected clips that go on to a second key frame", "--gop 4")
    fails(twnet(*scored, "--methods", "magic"), "expected some of per_frame, ", "got 'magic'")
    fails(twnet(*scored, "--cache", tmp_path), "--cache: expected real sequences")


def test_motion_comes_from_every_source_of_the_engine(twnet, monkeypatch):
    monkeypatch.setitem(sys.modules, "ptlflow", None)
    for source in MOTION_SOURCES:
        options = parser().parse_args(["segment", "drive.mp4", "--motion", source])
        assert options.motion == source
    found = twnet("segment", "drive.mp4", "--device", "cpu", "--motion", "flownet2")
    fails(found, "motion flownet2: expected the package ptlflow: pip install")


def test_train_from_published_weights(twnet, tmp_path, stills):
    donor = TWNet(Config("mobilenetv1", 2, CAMVID.names, CAMVID.colors, (96, 64)))
    stages = nn.ModuleList([*donor.keyframe.head.stages, *donor.keyframe.context.stages])
    parts = [m for m in stages.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    prefixes = [prefix for pair in publication("mobilenetv1").names for prefix in pair]
    tensors = {
        f"{prefix}.{name}": tensor
        for prefix, part in zip(prefixes, parts, strict=True)
        for name, tensor in part.state_dict().items()
    }
    torch.save(tensors, tmp_path / "imagenet.pth")
    # At no rate at all nothing is learnt but the batch norms' statistics.
    still = ("--iterations", 1, "--batch", 2, "--rate", "1e-30", "--crop", "64x64")
    which = ("--backbone", "mobilenetv1", "--layer", 2, "--pretrained", tmp_path / "imagenet.pth")
    status, _, err = twnet("train", "key", *stills, *still, *which, "--out", tmp_path / "run")
    assert status == 0, err
    trained = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert trained.config.mean == trained.config.std == (127.5,) * 3  # timm's
    again = ("--init", tmp_path / "run" / "model.safetensors", "--out", tmp_path / "again")
    assert twnet("train", "key", *stills, *still, *which[:4], *again)[0] == 0
    went_on = load_checkpoint(tmp_path / "again" / "model.safetensors")
    assert went_on.config == trained.config  # the pictures are normalised as before
    found = dict(trained.keyframe.head.named_parameters())
    for name, tensor in donor.keyframe.head.named_parameters():
        if name.startswith("stages."):
            assert torch.equal(found[name], tensor.half().float()), name


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--crop", "72x64"], "expected a crop of multiples of 32 pixels, got 72x64"),
        (["--batch", 1], "expected two pictures or more for a batch norm, got 1"),
        (["--encoder-rate", 0.2], "--encoder-rate: expected --pretrained"),
    ],
)
def test_settings_that_cannot_train(twnet, tmp_path, stills, options, expected):
    usual = ("--iterations", 1, "--batch", 2, "--crop", "64x64", "--out", tmp_path / "run")
    fails(twnet("train", "key", *stills, *usual, *options), expected)


def test_train_another_backbone(twnet, tmp_path, stills):
    short = ("--iterations", 1, "--batch", 2, "--crop", "64x64", "--out", tmp_path / "run")
    key = ("train", "key", *stills, *short)
    assert twnet(*key, "--backbone", "ddrnet23slim", "--layer", 2)[0] == 0
    path = tmp_path / "run" / "model.safetensors"
    config = load_checkpoint(path).config
    assert (config.backbone, config.layer) == ("ddrnet23slim", 2)
    fails(
        twnet(*key, "--backbone", "resnet18"), "expected backbone ddrnet23slim to resume the run"
    )
    key = (*key[:-1], tmp_path / "other")
    fails(twnet(*key, "--init", path), "expected a mobilenetv1 network, got ddrnet23slim")
    fails(twnet(*key, "--backbone", "vgg"), "backbone: expected one of ['ddrnet23slim', ", "'vgg'")
    published = (*key, "--backbone", "ddrnet23slim", "--pretrained", path)
    fails(twnet(*published), "pretrained: expected a backbone of efficientnetlite0, ")
    published = (*key, "--backbone", "resnet18", "--pretrained", path)
    fails(twnet(*published), "expected the 100 tensors of torchvision's resnet18: 100 missing")


def test_evaluate_on_real_sequences(twnet, frames, model, tmp_path):
    drive = tmp_path / "data" / "frames" / "drive_1"
    drive.parent.mkdir(parents=True)
    frames.rename(drive)
    labels = tmp_path / "data" / "labels" / "drive_1"
    labels.mkdir(parents=True)
    cv2.imwrite(str(labels / "00003.png"), np.zeros((48, 80), np.uint8))
    classes = tmp_path / "classes.json"
    classes.write_text(json.dumps({"names": ["a", "b", "c"], "colors": [[9, 9, 9]] * 3}))
    data = ("--data", tmp_path / "data", "--classes", classes, "--hold-out", "drive")
    device = ("--device", "cpu", "--precision", "fp32", "--clip-size", "80x48")
    options = ("--cache", tmp_path / "clips", "--distance", 0, 3, "--out", tmp_path / "report")
    status, out, err = twnet("evaluate", model, *data, *device, *options)
    assert status == 0, err
    assert "| model | method | 0 | 3 |" in out
    report = (tmp_path / "report" / "report.md").read_text()
    assert "| tiny | twnet | " in report and "](strips.png)" in report
    assert len(list((tmp_path / "clips").rglob("*.avi"))) == 2
    found = twnet("evaluate", model, *data, *device, *options, "--seed", 2)
    fails(found, "--seed: expected no --distance, beside which nothing is drawn")
    found = twnet("evaluate", model, *data, *device, "--split", "test")
    fails(found, "expected split 'val' of a folder", "got 'test'")


def fails(result, *expected):
    status, _, err = result
    assert status == 1
    assert len(err) == 1
    assert err[0].startswith("twnet: ")
    for part in expected:
        assert part in err[0]


@pytest.mark.parametrize("command", ["inspect", "segment"])
def test_a_missing_clip(twnet, model, command, tmp_path):
    options = ("--model", model) if command == "segment" else ()
    fails(twnet(command, tmp_path / "none.mp4", *options), "expected a video file", "none.mp4")


@pytest.mark.parametrize("command", ["inspect", "segment"])
def test_a_jpeg_file(twnet, model, command, frames, tmp_path):
    path = tmp_path / "picture.jpg"
    cv2.imwrite(str(path), cv2.imread(str(frames / "00000.png")))
    options = ("--model", model) if command == "segment" else ()
    fails(twnet(command, path, *options), "expected H.264, MPEG-4 part 2, ", "mjpeg")


def test_a_file_that_is_no_video(twnet, model, tmp_path):
    path = tmp_path / "noise.mp4"
    path.write_bytes(b"nothing to see here")
    fails(twnet("segment", path, "--model", model), "expected a video file", "noise.mp4")


def test_a_bad_model(twnet, clip, tmp_path):
    fails(twnet("segment", clip, "--model", "nobody"), "model: expected a checkpoint", "'nobody'")
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(b"\x80\x04K\x01.")
    fails(twnet("segment", clip, "--model", wrong), "expected a safetensors file", "wrong")


def test_a_bad_device(twnet, clip, model):
    found = twnet("segment", clip, "--model", model, "--device", "toaster")
    fails(found, "device: expected auto or one of cpu", "'toaster'")
    found = twnet("segment", clip, "--model", model, "--device", "cpu", "--precision", "fp16")
    fails(found, "precision on cpu: expected auto or one of fp32, bf16", "'fp16'")


def test_a_failed_segment_writes_nothing(twnet, clip, tmp_path):
    before = sorted(p.name for p in tmp_path.iterdir())
    twnet(
        "segment", clip, "--model", "nobody", "-o", tmp_path / "o.mp4", "--labels", tmp_path / "l"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_an_empty_folder(twnet, tmp_path):
    (tmp_path / "empty").mkdir()
    found = twnet("encode", tmp_path / "empty", tmp_path / "o.mp4")
    fails(found, "expected PNG or JPEG pictures, found none")
    assert not (tmp_path / "o.mp4").exists()
    found = twnet("encode", tmp_path / "nowhere", tmp_path / "o.mp4")
    fails(found, "expected a folder of PNG or JPEG pictures, found none")


def test_bad_training_data(twnet, tmp_path):
    step = ("train", "key", "--out", tmp_path / "run", "--data")
    fails(twnet(*step, tmp_path / "none"), "expected the folders 'images'", "found nothing")
    fails(twnet(*step, "streets", "--classes", "animals"), 'animals: expected JSON with "names"')
    assert not (tmp_path / "run").exists()


def test_a_bad_training_file(twnet, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("data: streets\nout: run\nrate: fast\n")
    found = twnet("train", "key", "--config", path)
    fails(found, f"{path}: rate: expected a number from 0 on, got 'fast'")
    path.write_text("data: streets\nout: run\ninit: a\n")
    found = twnet("train", "key", "--config", path, "--pretrained", "b.pth", "--out", tmp_path)
    fails(found, "expected init or pretrained, got both: a and b.pth")


def test_a_process_of_a_training_that_is_killed(twnet, tmp_path, stills, monkeypatch):
    """As where memory is short: torch has a RuntimeError for it, as for all that goes wrong."""

    def step_one(*arguments, **settings):
        raise RuntimeError(message)

    monkeypatch.setattr("twnet_ros.learn.training.train.step_one", step_one)
    train = ("train", "key", *stills, "--out", tmp_path / "run")
    message = "DataLoader worker (pid 7) is killed by signal: Killed. "
    fails(twnet(*train), "ended, perhaps for want of memory (DataLoader", f"{tmp_path / 'run'}")
    message = "Caught RuntimeError in DataLoader worker process 0.\nsizes do not match"
    with pytest.raises(RuntimeError, match="sizes"):
        twnet(*train)


@pytest.mark.parametrize(
    "text, bits", [("800k", 800_000), ("1.5M", 1_500_000), ("64000", 64_000), ("1e6", 1_000_000)]
)
def test_a_bitrate_is_in_bits_a_second(text, bits):
    assert argument.bitrate(text) == bits


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["segment", "a.mp4", "--input-size", "512"], "expected WIDTHxHEIGHT"),
        (["encode", "a", "b.mp4", "--bitrate", "much"], "expected a bitrate"),
        (["encode", "a", "b.mp4", "--gop", "0"], "expected a whole number of 1 or more"),
        (["encode", "a", "b.mp4", "--codec", "hevc"], "mpeg4"),
        (["streets"], "OUT_DIR"),
        (["chaos", "a.mp4"], "--seed"),
        (["chaos", "a.mp4", "--seed", "1", "--loss", "2"], "expected a number from 0 to 1"),
        (["chaos", "a.mp4", "--seed", "-1"], "--seed: expected a whole number of 0 or more"),
        (["segment", "a.mp4", "--key-residual", "nan"], "expected a number from 0 to 255"),
        (
            ["evaluate", "a", "--data", "b", "--bits-per-pixel", "inf"],
            "expected a number from 0 on",
        ),
        (["encode", "a", "b.mp4", "--fps", "0"], "expected a number from 0.000999001 to 65535"),
        (["train", "key", "--init", "a", "--pretrained", "b.pth"], "not allowed with argument"),
        (["train", "key", "--scale", "0.001", "1"], "expected a number from 0.1 to 10"),
        (["train", "key", "--seed", str(2**70)], "--seed: expected a number below 2^32"),
        (["train", "key", "--clip-size", "97x64"], "--clip-size: expected even sides, as in 512"),
        (["fly"], "invalid choice"),
        ([], "COMMAND"),
    ],
)
def test_wrong_usage(twnet, arguments, expected):
    status, out, err = twnet(*arguments)
    assert status == 2
    assert out == []
    assert expected in err[-1]
