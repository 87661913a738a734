"""Temporal consistency, against pixels counted by hand."""

import math

import numpy as np
import pytest

from twnet_ros.codec import BlockMotion
from twnet_ros.learn.evaluation import consistency
from twnet_ros.learn.evaluation.consistency import Consistency, nearest_source

SIZE = (8, 16)  # two blocks


def motion(*blocks):
    """Make the motion of blocks side by side, each (dx, dy), (dx, dy, reference), or None."""
    filled = [(0, 0, 0) if block is None else (*block, -1)[:3] for block in blocks]
    displacement = np.array([[block[:2] for block in filled]], np.float32)
    return BlockMotion(displacement, np.array([[block[2] for block in filled]], np.int8))


def picture(*columns):
    """Make labels (8, 16) whose columns hold these values; the last goes on to the border."""
    row = np.array([*columns, *[columns[-1]] * (16 - len(columns))], np.uint8)
    return row * np.ones((8, 1), np.uint8)


def agreement(moved, truths, labels):
    found = Consistency()
    found.add(0, None, truths[0], labels[0])
    found.add(1, moved, truths[1], labels[1])
    return found


def test_labels_that_move_along_agree():
    # All moves right by 3: the source is 3 to the left, unknown for the first three columns.
    before, after = picture(0, 1), picture(0, 0, 0, 0, 1)
    found = agreement(motion((-3, 0), (-3, 0)), (before, after), (before, after))
    assert (found.agreeing, found.compared) == (8 * 13, 8 * 13)
    assert found.share() == 100


def test_by_hand():
    # No motion; the truth changes in column 1, the labels in columns 1 (not counted), 2 and 12.
    truths = picture(0, 0, 0, 1), picture(0, 1, 0, 1)
    labels = picture(0, 0, 0, 1), picture(0, 1, 1, 1)
    labels[1][:4, 12] = 2
    found = agreement(motion((0, 0), (0, 0)), truths, labels)
    assert found.compared == 8 * 15
    assert found.agreeing == 8 * 15 - 8 - 4
    assert found.share() == pytest.approx(90)


def test_wrong_labels_may_be_consistent():
    truth, wrong = picture(0), picture(3)
    assert agreement(motion((0, 0), (0, 0)), (truth, truth), (wrong, wrong)).share() == 100
    assert agreement(motion((0, 0), (0, 0)), (truth, truth), (wrong, truth)).share() == 0


def test_blocks_without_a_vector_into_the_past_do_not_count():
    truth, one, other = picture(0), picture(1), picture(2)
    one[:, 8:] = other[:, 8:]
    found = agreement(motion(None, (0, 0)), (truth, truth), (one, other))
    assert (found.agreeing, found.compared) == (64, 64)
    found = agreement(motion((0, 0, 1), (0, 0)), (truth, truth), (one, other))
    assert (found.agreeing, found.compared) == (64, 64)


def test_unlabelled_pixels_do_not_count():
    void = picture(255)
    truth = picture(0)
    truth[:, :4] = 255
    assert agreement(motion((0, 0), (0, 0)), (truth, truth), (void, void)).compared == 8 * 12
    assert agreement(motion((0, 0), (0, 0)), (void, truth), (truth, truth)).compared == 0


def test_only_frames_that_follow_each_other_along_motion_count():
    truth, still = picture(0), motion((0, 0), (0, 0))
    found = Consistency()
    found.add(0, still, truth, truth)  # nothing before it
    found.add(2, still, truth, truth)  # 1 was skipped
    found.add(3, None, truth, truth)  # a key frame
    found.start_clip()
    found.add(4, still, truth, truth)  # of another clip
    assert found.compared == 0 and math.isnan(found.share())
    found.add(5, still, truth, truth)
    assert found.compared == 128


def test_sources_are_the_nearest_pixels():
    # Half a pixel is rounded up, towards the right and down.
    row, column, known = nearest_source(motion((-0.5, 0.5), (1.75, -0.25)), *SIZE)
    assert column[0, :9].tolist() == [*range(8), 10]
    assert row[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 7]
    assert row[:, 8].tolist() == list(range(8))
    assert known[:7, :14].all()
    assert not known[7, :8].any() and known[7, 8:14].all()
    assert not known[:, 14:].any()


@pytest.mark.parametrize("unlabelled", [0, 1])
def test_frames_without_truth_cost_nothing(unlabelled, monkeypatch):
    monkeypatch.setattr(consistency, "nearest_source", None)
    truths = [picture(1), picture(1)]
    truths[unlabelled] = picture(255)
    assert math.isnan(agreement(motion((0, 0), (0, 0)), truths, truths).share())
