"""Results: what is in them, as JSON and as Markdown tables."""

import json
import math

import numpy as np
import pytest

from twnet_ros.learn.data.clip import Coding
from twnet_ros.learn.evaluation import table
from twnet_ros.learn.evaluation.evaluate import make_clips, score
from twnet_ros.learn.evaluation.result import Result, summarise
from twnet_ros.segment.palette import CITYSCAPES

NAN = math.nan
SIZE = (96, 64)


@pytest.fixture
def result():
    """Make a result; settings replace its fields."""

    def make(**settings):
        fields = {
            "model": "small",
            "method": "twnet",
            "miou": 50.26,
            "iou": {"road": 90.0, "person": 10.52, "car": NAN},
            "categories": {},
            "by_distance": [60.0, NAN, 40.123],
            "temporal_consistency": 97.51,
            "gmacs": {"key": 39.66, "nonkey": 21.71},
            "input_size": SIZE,
            "key_steps": 8.33,
            "delay": 0,
            "fps": 20.04,
            "ms_median": 45.0,
            "ms_p95": 81.23,
            "state_rms": {"first": 0.9, "greatest": 1.1},
            "device": "cpu",
            "precision": "fp32",
        }
        return Result(**{**fields, **settings})

    return make


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_the_overall_table(result):
    head, _, row, other = cells(table.overall([result(), result(method="repeat", miou=7)], 2))
    numbers = ["50.3", "10.5", "–", "40.1", "97.5", "39.66 / 21.71", "8 %", "0"]
    numbers += ["20.0", "45.0 (81.2)"]
    assert row == ["small", "twnet", *numbers, "0.90 to 1.10"]
    assert head[2:6] == ["mIoU", "person", "car", "distance 2"]
    assert other[1:3] == ["repeat", "7.0"]


def test_the_distance_table_shows_labelled_distances(result):
    head, _, row = cells(table.by_distance([result()]))
    assert (head[2:], row[2:]) == (["0", "2"], ["60.0", "40.1"])


def test_the_distance_table_of_many_distances(result):
    head, _, row = cells(table.by_distance([result(by_distance=[*map(float, range(101))])]))
    assert len(head) == 14 and (head[2], head[-1]) == ("0", "100")
    assert row[2:] == [f"{int(distance)}.0" for distance in head[2:]]


def test_the_class_tables(result):
    iou = {name: float(index) for index, name in enumerate(CITYSCAPES.names)}
    first, second = table.by_class([result(iou=iou), result(model="b", iou=iou)]).split("\n\n")
    assert cells(first)[0][2:] + cells(second)[0][2:] == list(CITYSCAPES.names)
    assert cells(second)[3] == ["b", "twnet", *(f"{value}.0" for value in range(10, 19))]


def test_the_category_table(result):
    assert table.by_category([result()]) == ""
    head, _, row = cells(table.by_category([result(categories={"flat": 1.5, "sky": NAN})]))
    assert (head[2:], row[2:]) == (["flat", "sky"], ["1.5", "–"])


def test_json_has_no_nan(result):
    found = json.loads(json.dumps(result().to_json(), allow_nan=False))
    assert found["by_distance"] == [60, None, 40.123]
    assert found["iou"] == {"road": 90, "person": 10.52, "car": None}
    assert found["state_rms"] == {"first": 0.9, "greatest": 1.1}


def test_what_a_score_amounts_to(network, panning):
    classes = network().config.classes
    found = score(network(), make_clips(panning(), 1, 6, Coding(gop=3), 0), "twnet")
    found.tally.times_ms[:] = [10, 10, 10, 10, 20, 30]
    away = [0, 1, 2, 0, 1, 2]
    result = summarise(found, "small", "twnet", classes, away, (2.0, 1.0), SIZE)
    assert result.miou == found.total().miou()
    assert list(result.iou) == list(classes)
    np.testing.assert_array_equal(list(result.iou.values()), found.total().iou())
    assert result.categories == {}
    assert result.by_distance == [confusion.miou() for confusion in found.by_distance(away)]
    assert result.temporal_consistency == found.tally.consistency.share()
    assert result.fps == pytest.approx(1e3 / 15)
    assert (result.ms_median, result.ms_p95) == pytest.approx((10, 27.5))
    assert (result.key_steps, result.delay) == (pytest.approx(100 / 3), 0)
    assert result.gmacs == {"key": 2, "nonkey": 1}
    assert result.state_rms["greatest"] == max(found.context_rms)
