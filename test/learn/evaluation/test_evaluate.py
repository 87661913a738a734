"""Accuracy over clips, through the engine."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from twnet_ros.codec import FrameKind
from twnet_ros.learn.data.clip import Coding, transcode
from twnet_ros.learn.evaluation import evaluate
from twnet_ros.learn.evaluation.evaluate import make_clips, score
from twnet_ros.learn.evaluation.method import engine
from twnet_ros.net import FeatureState

FINE = Coding(gop=12, bits_per_pixel=2.0)


def test_the_same_seed_gives_the_same_clips(source):
    one, two = (make_clips(source, 2, 3, FINE, seed=4) for _ in range(2))
    other = make_clips(source, 2, 3, FINE, seed=5)
    assert [len(clip) for clip in one] == [3, 3]
    for a, b in zip(one, two, strict=True):
        for (frame, labels), (again, too) in zip(a, b, strict=True):
            assert np.array_equal(frame.y, again.y) and np.array_equal(labels, too)
    assert not np.array_equal(one[0][0][0].y, one[1][0][0].y)
    assert not np.array_equal(one[0][0][0].y, other[0][0][0].y)


def test_nothing_moves_in_a_static_clip(network, panning):
    (clip,) = make_clips(panning(0), 1, 4, FINE, 0)
    repeat, warping = (score(network(), [clip], method) for method in ("repeat", "warping"))
    for number in range(4):
        counts = repeat.by_frame[number].counts
        np.testing.assert_array_equal(counts, repeat.by_frame[0].counts)
        assert np.abs(counts - warping.by_frame[number].counts).sum() < 0.1 * counts.sum()


class Oracle(torch.nn.Module):
    """A key step that knows the panning clips: grey levels are classes."""

    def __init__(self, config):
        super().__init__()
        self.config = config

    def key(self, image):
        mean, std = (
            torch.tensor(v).reshape(1, 3, 1, 1) for v in (self.config.mean, self.config.std)
        )
        grey = torch.nn.functional.avg_pool2d((image * std + mean).mean(1, keepdim=True), 4)
        levels = torch.tensor([40.0, 210.0, 120.0]).reshape(1, 3, 1, 1)
        logits = -(grey - levels).abs()
        return logits, FeatureState(logits, 0)


def test_a_good_network_scores_well_and_repetition_lags_behind(network, panning):
    clips = make_clips(panning(4), 2, 6, FINE, 0)
    oracle = Oracle(network().config)
    found = {m: score(oracle, clips, m) for m in ("per_frame", "warping", "repeat")}
    total = {m: s.total().miou() for m, s in found.items()}
    assert total["per_frame"] > 85
    assert total["per_frame"] > total["repeat"] + 20
    assert total["warping"] > total["repeat"] + 10
    first = [s.by_frame[0].miou() for s in found.values()]
    assert first[0] == first[1] == first[2]
    lag = [confusion.miou() for confusion in found["repeat"].by_frame]
    assert lag == sorted(lag, reverse=True)


def test_frames_between_the_labelled_ones_lend_their_motion(network, panning):
    clips = make_clips(panning(4), 2, 7, FINE, 0)
    oracle = Oracle(network().config)
    found = {m: score(oracle, clips, m, every=3) for m in ("warping", "repeat")}
    for one in found.values():
        labelled = [number for number, c in enumerate(one.by_frame) if c.counts.any()]
        assert labelled == [0, 3, 6]
    assert found["warping"].by_frame[6].miou() > found["repeat"].by_frame[6].miou() + 10
    assert [np.isfinite(c.miou()) for c in found["warping"].by_distance(range(7))] == [
        number % 3 == 0 for number in range(7)
    ]


def test_clips_do_not_touch_each_other(network, panning):
    clips = make_clips(panning(), 2, 3, Coding(gop=600), 0)
    together = score(network(), clips, "twnet")
    apart = [score(network(), [clip], "twnet") for clip in clips]
    for number in range(3):
        expected = sum(one.by_frame[number].counts for one in apart)
        np.testing.assert_array_equal(together.by_frame[number].counts, expected)
        rms = np.sqrt(np.mean([one.context_rms[number] ** 2 for one in apart]))
        assert together.context_rms[number] == pytest.approx(rms, rel=1e-6)


def test_scores_add_up_over_frames(network, panning):
    found = score(network(), make_clips(panning(), 1, 4, FINE, 0), "twnet")
    assert found.total().counts.sum() == 4 * 64 * 96
    assert found.over(range(1, 3)).counts.sum() == 2 * 64 * 96
    np.testing.assert_array_equal(found.over(range(2, 3)).counts, found.by_frame[2].counts)
    np.testing.assert_array_equal(found.late().counts, found.by_frame[3].counts)


def test_distances_start_anew_with_each_key_frame(network, panning):
    found = score(network(), make_clips(panning(), 1, 7, Coding(gop=3), 0), "twnet")
    by_distance = found.by_distance([0, 1, 2, 0, 1, 2, 0])
    assert len(by_distance) == 3
    for distance, numbers in enumerate([(0, 3, 6), (1, 4), (2, 5)]):
        expected = sum(found.by_frame[number].counts for number in numbers)
        np.testing.assert_array_equal(by_distance[distance].counts, expected)
    uneven = found.by_distance([0, 1, 2, 3, 4, 0, 1])
    expected = found.by_frame[1].counts + found.by_frame[6].counts
    np.testing.assert_array_equal(uneven[1].counts, expected)
    assert len(uneven) == 5


@pytest.mark.parametrize("leaves", [(2, 3), (1,)])
def test_motion_of_and_past_b_frames_says_nothing_of_the_frame_before(network, panning, leaves):
    """Theirs does not lead to the one labelled before, and that of the next leads past them."""
    clip = list(transcode(panning().clip(np.random.default_rng(0), 4), FINE))
    as_b = [
        (replace(frame, kind=FrameKind.B) if number in leaves else frame, truth)
        for number, (frame, truth) in enumerate(clip)
    ]
    compared = [
        score(network(), [one], "twnet").tally.consistency.compared for one in (clip, as_b)
    ]
    assert compared[0] > 2.5 * compared[1] > 0


def test_every_labelled_frame_is_timed(network, panning):
    clips = make_clips(panning(), 2, 4, FINE, 0)
    found = score(network(), clips, "twnet")
    assert len(found.tally.times_ms) == 8 and min(found.tally.times_ms) > 0
    assert len(score(network(), clips, "twnet", every=2).tally.times_ms) == 4
    assert (found.device, found.precision) == ("cpu", "fp32")


def test_labels_that_are_to_be_shown_are_kept(network, panning):
    clips = make_clips(panning(), 2, 3, FINE, 0)
    found = score(network(), clips, "twnet", show=[(0, 2), (1, 0)])
    assert set(found.tally.shown) == {(0, 2), (1, 0)}
    segmenter = engine(network(), "twnet", "cpu", "fp32")
    for frame, _ in clips[0]:
        (last,) = segmenter.step(frame)
    np.testing.assert_array_equal(found.tally.shown[0, 2], last.labels)


def test_labels_carried_along_the_motion_are_consistent(network, panning):
    clips = make_clips(panning(4), 2, 6, FINE, 0)
    oracle = Oracle(network().config)
    found = {m: score(oracle, clips, m).tally.consistency for m in ("warping", "repeat")}
    # The truth follows the vectors nearly everywhere, between squares of 8 px.
    assert 0.7 < found["warping"].compared / (2 * 5 * 64 * 96) < 1
    assert found["warping"].share() > 95
    assert found["warping"].share() > found["repeat"].share() + 20
    assert found["repeat"].compared == found["warping"].compared
    skipping = score(oracle, clips, "warping", every=2)
    assert skipping.tally.consistency.compared == 0


class Late:
    """An engine whose labels come all at the end, the last frame's first."""

    def __init__(self, within):
        self.within, self.kept = within, []
        self.state = None
        self.device, self.precision = within.device, within.precision

    def reset(self):
        self.within.reset()
        self.kept = []

    def step(self, frame):
        self.kept += self.within.step(frame)
        return []

    def flush(self):
        kept, self.kept = self.kept, []
        return kept[::-1]


def test_labels_are_scored_with_the_frame_they_are_of(network, panning, monkeypatch):
    clips = make_clips(panning(4), 2, 5, Coding(gop=3, bits_per_pixel=2.0), 0)
    at_once = score(network(), clips, "twnet")
    monkeypatch.setattr(evaluate, "engine", lambda *given: Late(engine(*given)))
    late = score(network(), clips, "twnet")
    for one, other in zip(at_once.by_frame, late.by_frame, strict=True):
        np.testing.assert_array_equal(one.counts, other.counts)
    assert (at_once.keys, at_once.delay) == (late.keys, 0) == (0.4, 0)
    assert late.delay == 4
