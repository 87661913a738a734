"""Reports: models on the same clips, tables, numbers and plots in a folder."""

import json

import cv2
import numpy as np
import pytest
import torch

from twnet_ros.learn.data.dataset import Data, open_data
from twnet_ros.learn.data.still import DataError
from twnet_ros.learn.evaluation import report as module
from twnet_ros.learn.evaluation.method import USUAL
from twnet_ros.learn.evaluation.picture import score_pictures
from twnet_ros.learn.evaluation.plot import plot_confusion, plot_strips
from twnet_ros.learn.evaluation.report import model_names, report
from twnet_ros.net import load_checkpoint, save_checkpoint
from twnet_ros.segment.palette import ClassSet

SIZE = (96, 64)
CLASSES = ClassSet(("road", "sky", "car"), ((128, 64, 128), (70, 130, 180), (0, 0, 142)))
OPTIONS = {"frames": 6, "gop": 4, "bits_per_pixel": 1.0, "device": "cpu", "precision": "fp32"}


@pytest.fixture
def data(panning):
    return Data(CLASSES, SIZE, lambda split: panning(4))


@pytest.fixture
def models(network, tmp_path):
    """Two models whose files have one name."""
    paths = []
    for seed, folder in enumerate("ab"):
        paths.append(tmp_path / folder / "model.safetensors")
        paths[-1].parent.mkdir()
        save_checkpoint(paths[-1], network(seed))
    return [str(path) for path in paths]


def picture(path):
    found = cv2.imread(str(path))
    assert found is not None, path
    return found[..., ::-1]


def test_a_report_of_two_models(data, models, tmp_path, capsys):
    out = tmp_path / "deep" / "report"
    scores = report(models, data, clips=2, out=out, **OPTIONS)
    assert list(scores) == ["a/model", "b/model"]
    plots = {"confusion_a_model_twnet.png", "confusion_b_model_twnet.png"}
    plots |= {"distance.png", "speed.png", "strips.png"}
    assert {path.name for path in out.iterdir()} == plots | {"report.json", "report.md"}

    found = json.loads((out / "report.json").read_text())
    assert (found["clips"], found["gop"], found["every"]) == (2, 4, 1)
    assert [(one["model"], one["method"]) for one in found["results"]] == [
        (model, method) for model in scores for method in USUAL
    ]
    for one in found["results"]:
        score = scores[one["model"]][one["method"]]
        assert one["miou"] == pytest.approx(score.total().miou(), abs=1e-4)
        assert one["iou"]["car"] == pytest.approx(score.total().iou()[2], abs=1e-4)
        assert len(one["by_distance"]) == 4
        assert 0 <= one["temporal_consistency"] <= 100
        assert one["fps"] > 0 and one["ms_p95"] >= one["ms_median"] > 0
        assert one["input_size"] == list(SIZE)
    macs = {one["method"]: one["gmacs"] for one in found["results"]}
    assert macs["per_frame"]["nonkey"] == macs["per_frame"]["key"] > macs["twnet"]["nonkey"] > 0

    text = (out / "report.md").read_text()
    assert "2 clips of 6 frames, GOP 4, 1.0 bit/pixel" in text
    assert "on cpu, fp32" in text
    assert all(f"]({name})" in text for name in plots)
    assert capsys.readouterr().out.strip() in text
    for name in plots:
        assert np.ptp(picture(out / name)) == 255


def test_strips_show_a_few_distances_with_every_method(data, models, tmp_path):
    report(models[:1], data, clips=1, every=2, out=tmp_path / "out", **OPTIONS)
    strips = picture(tmp_path / "out" / "strips.png")
    road = (strips == CLASSES.colors[0]).all(-1)
    # Two columns (distances 0 and 2), of the truth and of every method, and the legend.
    assert road.sum() > 0.02 * road.size


def test_without_a_folder_nothing_is_written(data, models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    report(models[1:], data, clips=1, **OPTIONS)
    assert sorted(tmp_path.rglob("*")) == before
    out = capsys.readouterr().out
    assert "| model | twnet |" in out and "| model | method | 0 | 1 | 2 | 3 |" in out


def test_held_out_stills_are_scored_too(still_folder, models, tmp_path, capsys):
    classes = tmp_path / "classes.json"
    classes.write_text(json.dumps({"names": CLASSES.names, "colors": CLASSES.colors}))
    stills = open_data(str(still_folder()), str(classes), SIZE, ["A"])
    report(models, stills, clips=1, out=tmp_path / "out", **OPTIONS)
    assert "b/model: " in capsys.readouterr().out.splitlines()[2]
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    held_out = stills.held_out().stills
    pictures = [held_out.read(number) for number in range(len(held_out))]
    with torch.inference_mode():
        expected = {
            name: score_pictures(load_checkpoint(path), pictures)
            for name, path in zip(("a/model", "b/model"), models, strict=True)
        }
    assert found["stills_miou"] == pytest.approx(expected, abs=1e-4)


def test_stills_without_labels_of_the_classes_have_no_score(still_folder, models, tmp_path):
    root, classes = still_folder(), tmp_path / "classes.json"
    classes.write_text(json.dumps({"names": CLASSES.names, "colors": CLASSES.colors}))
    for path in (root / "labels").glob("A*.png"):
        cv2.imwrite(str(path), np.full((SIZE[1], SIZE[0]), 255, np.uint8))
    stills = open_data(str(root), str(classes), SIZE, ["A"])
    report(models[:1], stills, clips=1, out=tmp_path / "out", **OPTIONS)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["stills_miou"] == {
        "model": None
    }


def test_all_rows_of_a_model_are_in_one_precision(data, models, monkeypatch):
    """It is measured, which need not come out alike twice."""
    place, answers = torch.device("cpu"), iter(["bf16"])
    monkeypatch.setattr(module, "choose", lambda model, device, precision: (place, next(answers)))
    scores = report(models[:1], data, clips=1, **OPTIONS | {"precision": "auto"})
    assert {score.precision for score in scores["model"].values()} == {"bf16"}


def test_how_often_adaptive_takes_key_steps(data, models, tmp_path):
    methods = ["twnet", "adaptive"]
    report(models[:1], data, clips=1, methods=methods, interval=2, out=tmp_path, **OPTIONS)
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["key_interval"] == 2
    assert "adaptive takes a key step in 2 frames" in (tmp_path / "report.md").read_text()
    keys = {one["method"]: one["key_steps"] for one in found["results"]}
    assert keys == pytest.approx({"twnet": 100 / 3, "adaptive": 50.0}, abs=0.1)  # I P P P I P
    with pytest.raises(DataError, match="--key-interval: expected the method adaptive"):
        report(models[:1], data, clips=1, methods=["twnet"], interval=2, **OPTIONS)


def test_models_of_other_classes(data, models):
    other = Data(ClassSet(("road", "sky"), ((0, 0, 0),) * 2), SIZE, data.split)
    with pytest.raises(DataError, match="expected the data's classes road, sky, got road, sky"):
        report(models, other, clips=1, **OPTIONS)
    with pytest.raises(DataError, match="models: expected different ones"):
        report([models[0], models[0]], data, clips=1, **OPTIONS)


@pytest.mark.parametrize(
    "given, names",
    [
        (["streets-mobilenetv1-layer1"], ["streets-mobilenetv1-layer1"]),
        (["runs/a/model.safetensors", "runs/b.safetensors"], ["model", "b"]),
        (["runs/a/model.safetensors", "runs/b/model.safetensors"], ["a/model", "b/model"]),
        (["x/a/m.safetensors", "y/a/m.safetensors", "m"], ["x/a/m", "y/a/m", "m"]),
        (["a/m", "a/m.safetensors"], ["a/m", "a/m.safetensors"]),
    ],
)
def test_short_names(given, names):
    assert model_names(given) == names


def test_the_confusion_plot_takes_classes_that_never_occur(tmp_path):
    counts = np.zeros((3, 4), np.int64)
    counts[0] = 90, 5, 0, 5
    plot_confusion(counts, CLASSES.names, "title", tmp_path / "c.png")
    assert picture(tmp_path / "c.png").size


def test_strips_keep_colours_and_order(tmp_path):
    red, blue = (np.full((32, 64, 3), color, np.uint8) for color in ((255, 0, 0), (0, 0, 255)))
    rows = [("one", [red, red]), ("two", [blue, red])]
    plot_strips(rows, ["left", "right"], [("green", (0, 255, 0))], tmp_path / "s.png")
    found = picture(tmp_path / "s.png")
    place = {}
    for name, color in (("red", (255, 0, 0)), ("blue", (0, 0, 255)), ("green", (0, 255, 0))):
        row, column = np.nonzero((found == color).all(-1))
        assert row.size
        place[name] = row.mean(), column.mean()
    assert place["green"][0] > place["blue"][0] > place["red"][0]  # from above
    assert place["blue"][1] < place["red"][1]
