"""The example that labels a folder or a file without ROS."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from twnet_ros.codec import CodecError, StreamDecoder, write_clip
from twnet_ros.segment import Segmenter, device
from twnet_ros.segment.picture import PictureError, read_labels, write_png
from twnet_ros.segment.replay import replay

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "offline_folder.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("offline", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def single(monkeypatch):
    """On a CPU in float32, whatever it is faster in: other sums would decide between classes."""
    monkeypatch.setattr(device, "_gain", lambda _: 1.0)


@pytest.fixture
def offline(example, model, tmp_path, monkeypatch):
    """Run the example on a source; return the labels that it wrote, by name."""

    def run(source):
        out = tmp_path / "labels"
        command = [EXAMPLE.name, str(source), str(out), "--model", str(model)]
        monkeypatch.setattr(sys, "argv", command)
        assert example.main() == 0
        return {path.name: read_labels(path) for path in sorted(out.iterdir())}

    return run


@pytest.fixture
def pictures(pan_over):
    return pan_over(4, width=96, height=64, square=8, blur=4)


def expected(clip, model):
    """Return what the engine says of a clip, by the name of the file."""
    segmenter = Segmenter.load(model)
    return {f"{frame.index:05d}.png": found.labels for frame, found in replay(clip, segmenter)}


def check(found, wanted):
    assert found.keys() == wanted.keys()
    for name, labels in wanted.items():  # but for the rounding of convolutions
        assert np.mean(found[name] == labels) > 0.99, name


def test_a_file_gets_the_engines_labels(offline, pictures, model, tmp_path):
    clip = tmp_path / "clip.mp4"
    write_clip(clip, pictures, codec="mpeg4")
    check(offline(clip), expected(clip, model))


def test_a_folder_gets_those_of_its_frames_as_h264(offline, pictures, model, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, picture in enumerate(pictures):
        write_png(folder / f"{number}.png", picture)
    clip = tmp_path / "clip.mp4"
    write_clip(clip, pictures, codec="h264", gop=12, crf=18)
    check(offline(folder), expected(clip, model))


def test_a_file_that_is_damaged_at_its_end_is_labelled_up_to_there(
    example, pictures, tmp_path, monkeypatch, capsys
):
    clip = tmp_path / "clip.mp4"
    write_clip(clip, pictures, codec="mpeg4")

    flush, last = StreamDecoder.flush, object()

    def damaged(decoder):
        monkeypatch.setattr(StreamDecoder, "flush", lambda decoder: [*flush(decoder), last])
        raise CodecError("decode error: a test")

    monkeypatch.setattr(StreamDecoder, "flush", damaged)
    *frames, after = example.frames_of_video(clip)
    assert len(frames) == len(pictures) and after is last
    assert capsys.readouterr().err == "at the end: decode error: a test\n"


def test_frames_are_not_written_over(tmp_path):
    write_png(tmp_path / "0.png", np.zeros((64, 96, 3), np.uint8))
    before = (tmp_path / "0.png").read_bytes()
    command = [sys.executable, EXAMPLE, tmp_path, tmp_path]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 1 and "expected a folder without *.png" in found.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["0.png"]
    assert (tmp_path / "0.png").read_bytes() == before


def test_an_empty_folder_is_said_to_be_one(offline, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    with pytest.raises(PictureError, match="expected PNG or JPEG pictures, found none"):
        offline(folder)
