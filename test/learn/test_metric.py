"""Mean intersection over union, against sums by hand."""

import numpy as np
import pytest

from twnet_ros.learn.metric import Confusion


def ids(*values):
    return np.array(values, np.uint8)


def test_by_hand():
    confusion = Confusion(3)
    confusion.add(ids(0, 0, 0, 1, 1, 2), ids(0, 0, 1, 1, 2, 2))
    # class 0: 2 of 3; class 1: 1 of {3 predicted or true}; class 2: 1 of 2
    assert confusion.iou() == pytest.approx([100 * 2 / 3, 100 / 3, 50])
    assert confusion.miou() == pytest.approx(50)


def test_unlabelled_pixels_do_not_count():
    confusion = Confusion(2)
    confusion.add(ids(0, 1, 255, 255), ids(0, 1, 0, 1))
    assert confusion.miou() == 100
    assert confusion.counts.sum() == 2


def test_a_prediction_that_is_no_class_is_a_miss():
    confusion = Confusion(2)
    confusion.add(ids(0, 0, 0, 0, 1), ids(0, 255, 255, 7, 1))
    assert confusion.iou() == pytest.approx([25, 100])
    assert confusion.counts[:, -1].tolist() == [3, 0]


def test_classes_that_never_occur_are_left_out():
    confusion = Confusion(4)
    confusion.add(ids(0, 0, 1), ids(0, 0, 0))
    assert confusion.iou()[:2] == pytest.approx([100 * 2 / 3, 0])
    assert np.isnan(confusion.iou()[2:]).all()
    assert confusion.miou() == pytest.approx(100 / 3)
    assert np.isnan(Confusion(3).miou())


def test_it_adds_up():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 5, (2, 4, 6, 7), dtype=np.uint8)
    truth[rng.random(truth.shape) < 0.1] = 255
    whole, parts = Confusion(5), Confusion(5)
    whole.add(truth, predicted)
    for pair in zip(truth, predicted, strict=True):
        parts.add(*pair)
    np.testing.assert_array_equal(whole.counts, parts.counts)


def test_against_sets():
    rng = np.random.default_rng(3)
    truth, predicted = rng.integers(0, 6, (2, 40, 50), dtype=np.uint8)
    truth[:5] = 255
    confusion = Confusion(6)
    confusion.add(truth, predicted)
    for c in range(6):
        true, found = (truth == c), (predicted == c) & (truth != 255)
        expected = 100 * (true & found).sum() / (true | found).sum()
        assert confusion.iou()[c] == pytest.approx(expected)


def test_against_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    truth, predicted = np.random.default_rng(5).integers(0, 4, (2, 500), dtype=np.uint8)
    confusion = Confusion(4)
    confusion.add(truth, predicted)
    expected = 100 * metrics.jaccard_score(truth, predicted, average="macro")
    assert confusion.miou() == pytest.approx(expected)


def test_255_classes_are_possible():
    confusion = Confusion(255)
    confusion.add(ids(254, 254), ids(254, 255))
    assert confusion.iou()[254] == 50


def test_wrong_input():
    with pytest.raises(ValueError, match=r"expected predicted labels of \(2,\), got \(1,\)"):
        Confusion(2).add(ids(0, 1), ids(0))
    with pytest.raises(ValueError, match="expected train ids below 2, got 2"):
        Confusion(2).add(ids(0, 2), ids(0, 1))
