"""Intersection over union, against sums by hand and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from twnet_ros.learn.evaluation.metric import Confusion


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


def test_classes_that_the_truth_lacks_are_left_out():
    confusion = Confusion(4)
    confusion.add(ids(0, 0, 0, 1), ids(0, 0, 3, 1))
    assert np.isnan(confusion.iou()[2:]).all()
    assert confusion.miou() == pytest.approx((200 / 3 + 100) / 2)


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


@pytest.fixture
def noisy():
    """Labels of which some are right; one class is rare, some pixels are unlabelled."""
    rng = np.random.default_rng(5)
    truth = rng.choice(7, 4000, p=[0.3, 0.3, 0.2, 0.1, 0.05, 0.04, 0.01]).astype(np.uint8)
    predicted = np.where(rng.random(4000) < 0.6, truth, rng.integers(0, 7, 4000)).astype(np.uint8)
    truth[rng.random(4000) < 0.1] = 255
    return truth, predicted


def test_against_scikit_learn(noisy):
    truth, predicted = noisy
    confusion = Confusion(7)
    confusion.add(truth, predicted)
    scored = truth != 255
    pair = truth[scored], predicted[scored]
    np.testing.assert_array_equal(confusion.counts[:, :7], metrics.confusion_matrix(*pair))
    expected = 100 * metrics.jaccard_score(*pair, average=None)
    np.testing.assert_allclose(confusion.iou(), expected)
    assert confusion.miou() == pytest.approx(100 * metrics.jaccard_score(*pair, average="macro"))


def test_groups_against_scikit_learn(noisy):
    truth, predicted = noisy
    group = np.array([0, 1, 1, 2, 0, 2, 3])
    confusion = Confusion(7)
    confusion.add(truth, predicted)
    merged = confusion.merged([np.flatnonzero(group == index) for index in range(4)])
    scored = truth != 255
    pair = group[truth[scored]], group[predicted[scored]]
    np.testing.assert_array_equal(merged.counts[:, :4], metrics.confusion_matrix(*pair))
    expected = 100 * metrics.jaccard_score(*pair, average=None)
    np.testing.assert_allclose(merged.iou(), expected)


def test_groups_by_hand():
    confusion = Confusion(3)
    confusion.add(ids(0, 0, 0, 1, 1, 2), ids(0, 1, 2, 0, 255, 2))
    # Mistaking 0 for 1 is none within a group: 3 right, of 5 true and none other predicted.
    merged = confusion.merged([(1, 0), (2,)])
    assert merged.counts.tolist() == [[3, 1, 1], [0, 1, 0]]
    assert merged.iou() == pytest.approx([60, 50])


@pytest.mark.parametrize("groups", [[(0, 1)], [(0, 1), (1, 2)], [(0, 1), (2, 3)]])
def test_groups_that_are_no_partition(groups):
    with pytest.raises(ValueError, match="expected each of 3 classes in one group, got"):
        Confusion(3).merged(groups)


def test_255_classes_are_possible():
    confusion = Confusion(255)
    confusion.add(ids(254, 254), ids(254, 255))
    assert confusion.iou()[254] == 50


def test_wrong_input():
    with pytest.raises(ValueError, match=r"expected predicted labels of \(2,\), got \(1,\)"):
        Confusion(2).add(ids(0, 1), ids(0))
    with pytest.raises(ValueError, match="expected train ids below 2, got 2"):
        Confusion(2).add(ids(0, 2), ids(0, 1))
