"""The shipped models: small enough, described, and as good as their cards say."""

import csv
from pathlib import Path

import numpy as np
import pytest

from twnet_ros.codec import FrameKind
from twnet_ros.learn.data.clip import Coding
from twnet_ros.learn.data.dataset import HELD_OUT_SEEDS
from twnet_ros.learn.data.source import StreetSource
from twnet_ros.learn.evaluation.evaluate import make_clips, score
from twnet_ros.net import load_checkpoint
from twnet_ros.segment import Segmenter, find_model
from twnet_ros.segment.network import MODELS
from twnet_ros.segment.replay import replay

POINTS = Path(__file__).parent / "data" / "street_points.csv"
SHIPPED = (
    "camvid-ddrnet23slim-layer1",
    "camvid-mobilenetv1-layer1",
    "camvid-mobilenetv1-layer2",
    "streets-mobilenetv1-layer1",
    "streets-mobilenetv1-layer2",
)


@pytest.mark.parametrize("name", SHIPPED)
def test_model_is_small_and_has_a_card(name):
    file = find_model(name)
    assert file.stat().st_size <= 20_000_000
    card = file.with_suffix(".md").read_text(encoding="utf-8")
    for heading in ("Data", "Terms", "Recipe", "Scores"):
        assert f"## {heading}" in card


@pytest.mark.parametrize("name", SHIPPED)
def test_model_is_what_its_name_says(name):
    config = load_checkpoint(find_model(name)).config
    data, backbone, layer = name.split("-")
    assert (config.backbone, config.layer) == (backbone, int(layer.removeprefix("layer")))
    assert len(config.classes) == {"camvid": 11, "streets": 19}[data]


def test_every_model_in_the_folder_is_tested():
    assert sorted(path.stem for path in MODELS.glob("*.safetensors")) == sorted(SHIPPED)


@pytest.fixture(scope="module")
def street_scores():
    """Scores of the streets model on two short drives it has not seen, GOP 12."""
    model = load_checkpoint(find_model("streets-mobilenetv1-layer1"))
    source = StreetSource(HELD_OUT_SEEDS, (512, 256))
    clips = make_clips(source, 2, 24, Coding(gop=12, bits_per_pixel=0.3), seed=1)
    return {m: score(model, clips, m) for m in ("per_frame", "twnet", "warping", "repeat")}


def test_correcting_beats_carrying_along(street_scores):
    miou = {method: found.total().miou() for method, found in street_scores.items()}
    assert miou["twnet"] > miou["warping"] + 1
    assert miou["twnet"] > miou["repeat"] + 5
    assert miou["twnet"] > miou["per_frame"] - 2  # two short clips: the card has the whole figure


def test_corrected_state_stays_bounded(street_scores):
    key_level = street_scores["per_frame"].context_rms
    assert max(street_scores["twnet"].context_rms) < 2 * max(key_level)


def test_far_from_the_key_frame_correcting_still_helps():
    """Frames 76 to 100 of one long GOP, on a drive it has not seen."""
    model = load_checkpoint(find_model("streets-mobilenetv1-layer1"))
    source = StreetSource(HELD_OUT_SEEDS, (512, 256))
    clips = make_clips(source, 1, 101, Coding(gop=101, bits_per_pixel=0.3), seed=1)
    corrected, carried = (score(model, clips, method) for method in ("twnet", "warping"))
    assert corrected.late().miou() > carried.late().miou() + 5
    levels = corrected.context_rms
    assert max(levels) < 1.5 * levels[0]
    assert min(levels) > 0.5 * levels[0]


@pytest.fixture(scope="module", params=[name for name in SHIPPED if name.startswith("camvid")])
def drive_labels(drive, request):
    """Labels of the real drive by a CamVid model, by frame."""
    clip = drive("street_2048x1024_mpeg4_gop12.avi")
    segmenter = Segmenter.load(request.param, device="cpu")
    return segmenter.classes, [result for _, result in replay(clip, segmenter)]


@pytest.mark.parametrize("wanted", ["road", "sky", "building", "car"])
def test_real_street_points(drive_labels, wanted):
    classes, results = drive_labels
    assert len(results) == 30
    with POINTS.open(encoding="utf-8") as file:
        points = [row for row in csv.DictReader(file) if row["class"] == wanted]
    assert len(points) >= 10
    found = [
        results[int(p["frame"])].labels[int(p["y"]), int(p["x"])] == classes.index(wanted)
        for p in points
    ]
    assert np.mean(found) >= 0.8


def test_real_street_takes_a_key_step_in_six_frames(drive_labels):
    _, results = drive_labels
    assert [r.index for r in results if r.kind is FrameKind.I] == [0, 12, 24]
    # In the first GOP the encoder has bits for blocks without a vector: most of three P-frames.
    assert [r.index for r in results if r.path.value == "key"][-3:] == [12, 18, 24]
    assert sum(r.path.value == "nonkey" for r in results) > 20
