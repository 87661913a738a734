"""What may be replaced between two frames, beside the wish, and when it holds."""

from dataclasses import replace

import numpy as np
import pytest

from twnet_ros.segment import KeyPolicy, Path

LOST = "lost packets"


def run(segmenter, frames):
    return [result for frame in frames for result in segmenter.step(frame)]


def same(one, two):
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.labels, b.labels)
        assert (a.index, a.path, a.distance) == (b.index, b.path, b.distance)


def broken(frames, first):
    """The frames, of which those from a number on rest on what was lost."""
    return [replace(f, fault=LOST * (n >= first)) for n, f in enumerate(frames)]


def test_another_policy_holds_from_the_next_frame_on(engine, coded, pan):
    frames = coded(pan(9), gop=12)
    segmenter = engine()
    results = run(segmenter, frames[:3])
    segmenter.policy = KeyPolicy(interval=2)
    results += run(segmenter, frames[3:6])
    segmenter.policy = KeyPolicy()
    results += run(segmenter, frames[6:])
    assert [r.distance for r in results] == [0, 1, 2, 0, 1, 0, 1, 2, 3]
    assert [r.path is Path.KEY for r in results] == [r.distance == 0 for r in results]


def test_b_frames_that_wait_lie_between_a_new_policy_s_key_frames(engine, coded_with_b, pan):
    frames = coded_with_b(pan(7))
    segmenter = engine()
    results = run(segmenter, frames[:3])
    segmenter.policy = KeyPolicy(interval=1)
    results += run(segmenter, frames[3:])
    assert [r.distance for r in results] == [0, 1, 2, 0, 1, 2, 0]
    same(results, run(engine(policy=KeyPolicy(interval=1)), frames))


def test_a_broken_chain_is_labelled_from_when_that_is_wanted(engine, coded, pan):
    frames = broken(coded(pan(6), gop=12), 2)
    segmenter = engine()
    assert [r.index for r in run(segmenter, frames[:4])] == [0, 1]
    assert segmenter.waiting == LOST
    segmenter.label_broken = True
    results = run(segmenter, frames[4:])
    assert segmenter.waiting == ""
    assert [(r.index, r.distance) for r in results] == [(4, 0), (5, 1)]
    same(results, run(engine(label_broken=True), frames[4:]))


@pytest.mark.parametrize("skips", [False, True])
def test_a_broken_chain_is_left_when_it_is_no_longer_wanted(engine, coded, pan, skips):
    """When it is wanted again, what was labelled before the gap is no longer started from."""
    frames = broken(coded(pan(6), gop=12), 1)
    segmenter = engine(label_broken=True)
    assert [r.distance for r in run(segmenter, frames[:3])] == [0, 0, 1]
    segmenter.label_broken = False
    assert (segmenter.skip if skips else segmenter.step)(frames[3]) == []
    assert segmenter.waiting == LOST and segmenter.state is None
    segmenter.label_broken = True
    results = run(segmenter, frames[4:])
    assert [(r.index, r.distance) for r in results] == [(4, 0), (5, 1)]


def test_broken_b_frames_that_wait_come_out_when_no_more_are_wanted(engine, coded_with_b, pan):
    frames = broken(coded_with_b(pan(10)), 4)
    segmenter = engine(label_broken=True)
    assert [r.index for r in run(segmenter, frames[:6])] == [0, 1, 2, 3]
    segmenter.label_broken = False
    left = segmenter.step(frames[6])
    assert [(r.index, r.path) for r in left] == [(4, Path.KEY), (5, Path.KEY)]
    assert segmenter.waiting == LOST and segmenter.state is None
    assert run(segmenter, frames[7:]) == segmenter.flush() == []
