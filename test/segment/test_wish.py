"""What is wanted of a frame, and when it holds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from twnet_ros.codec import FrameKind
from twnet_ros.net import residual
from twnet_ros.segment import (
    CODEC_KEYS,
    UNLABELLED,
    KeyPolicy,
    Network,
    Path,
    Segmenter,
    Wish,
)
from twnet_ros.segment.input import Geometry, InputPass


def run(segmenter, frames):
    return [result for frame in frames for result in segmenter.step(frame)]


def wishing(segmenter, **wish):
    segmenter.wish = Wish(**wish)
    return segmenter


def test_nothing_is_wished_for_unless_it_is_said(engine, coded, pan):
    segmenter = engine()
    assert segmenter.wish == Wish() == Wish(False, False, 1.0, 0.0)
    for result in run(segmenter, coded(pan(2))):
        assert result.confidence is None and result.evidence is None


def test_a_wish_changes_no_labels(engine, coded, pan):
    frames = coded(pan(4), gop=3)
    plain = run(engine(), frames)
    wished = run(wishing(engine(), confidence=True, evidence=True), frames)
    for one, other in zip(plain, wished, strict=True):
        assert (one.labels == other.labels).mean() > 0.999  # they are rounded otherwise
        assert (one.path, one.distance) == (other.path, other.distance)
        assert other.confidence.shape == other.labels.shape


def test_labels_and_confidence_have_the_wished_size(engine, coded, pan):
    segmenter = wishing(engine(), confidence=True, scale=0.5)
    for result in run(segmenter, coded(pan(2, width=144, height=112))):
        assert result.labels.shape == result.confidence.shape == (56, 72)


def test_what_is_unsure_is_unlabelled(engine, coded, pan):
    (frame,) = coded(pan(1))
    (plain,) = wishing(engine(), confidence=True).step(frame)
    (result,) = wishing(engine(), least_confidence=0.5).step(frame)
    unlabelled = result.labels == UNLABELLED
    assert 0.02 < unlabelled.mean() < 0.98
    assert plain.confidence[unlabelled].max() <= 128 <= plain.confidence[~unlabelled].min() + 1


def test_a_wish_holds_from_the_next_frame_on(engine, coded, pan):
    frames = coded(pan(5), gop=12)
    segmenter, found = engine(), []
    wishes = [Wish(), Wish(confidence=True), Wish(scale=0.5), Wish(evidence=True), Wish()]
    for frame, wish in zip(frames, wishes, strict=True):
        segmenter.wish = wish
        found += segmenter.step(frame)
    assert [r.confidence is not None for r in found] == [False, True, False, False, False]
    assert [r.evidence is not None for r in found] == [False, False, False, True, False]
    assert [r.labels.shape for r in found] == [(64, 96)] * 2 + [(32, 48)] + [(64, 96)] * 2
    # The stream goes on beneath it.
    assert [r.distance for r in found] == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(found[4].labels, run(engine(), frames)[4].labels)


def test_a_wish_holds_for_b_frames_that_wait(engine, coded_with_b, pan):
    frames = coded_with_b(pan(4))
    segmenter = engine()
    run(segmenter, frames[:3])
    results = wishing(segmenter, confidence=True, evidence=True, scale=0.5).step(frames[3])
    assert [r.index for r in results] == [1, 2, 3]
    for result in results:
        assert result.confidence.shape == result.labels.shape == (32, 48)
        assert result.evidence.motion.shape == (64, 96, 2)
    left = engine()
    run(left, frames[:3])
    assert all(r.labels.shape == (16, 24) for r in wishing(left, scale=0.25).flush())


@torch.inference_mode()
def test_evidence_is_what_the_codec_said_of_every_pixel(network, coded, pan):
    """The video is scaled and padded: what is shown has the scaled picture's size."""
    frames = coded(pan(3, width=100, height=70, dx=3, dy=-2), gop=12)
    made = Segmenter(Network(network(), "cpu", "fp32"), policy=CODEC_KEYS)
    segmenter = wishing(made, evidence=True)
    results = run(segmenter, frames)
    geometry = Geometry.of((100, 70), (96, 64))
    assert (geometry.net, geometry.padded) == ((91, 64), (96, 64))
    source = InputPass(geometry, network().config, torch.device("cpu"), torch.float32)
    pictures = [source.convert(frame)[0] for frame in frames]
    for n, (frame, result) in enumerate(zip(frames, results, strict=True)):
        evidence = result.evidence
        assert evidence.motion.shape == (64, 91, 2) and evidence.residual.shape == (64, 91, 3)
        assert evidence.motion.dtype == evidence.residual.dtype == np.float32
        if n == 0:
            assert not evidence.motion.any() and not evidence.residual.any()
            continue
        motion = source.motion(frame.motion).dense()
        error = residual(pictures[n], pictures[n - 1], motion)
        for shown, dense in ((evidence.motion, motion), (evidence.residual, error)):
            expected = dense[0, :, :64, :91].permute(1, 2, 0).numpy()
            np.testing.assert_allclose(shown, expected, atol=1e-3)
        assert np.median(evidence.motion[..., 0]) == pytest.approx(3 * 91 / 100, abs=0.3)
        assert evidence.residual.min() < 0 < evidence.residual.max()


def test_evidence_of_a_key_step_is_what_was_carried_up_to_it(engine, coded, pan):
    frames = coded(pan(5), gop=12)
    due = run(wishing(engine(policy=KeyPolicy(interval=2)), evidence=True), frames)
    carried = run(wishing(engine(), evidence=True), frames)
    assert [r.path is Path.KEY for r in due] == [True, False, True, False, True]
    for one, other in zip(due, carried, strict=True):
        np.testing.assert_array_equal(one.evidence.motion, other.evidence.motion)
        np.testing.assert_array_equal(one.evidence.residual, other.evidence.residual)


def test_evidence_of_a_key_step_that_starts_anew_is_none_at_all(engine, coded, pan):
    frames = coded(pan(3), gop=12)
    for settings in ({"per_frame": True}, {"motion": "codec"}):
        still = [replace(f, motion=f.motion if "per_frame" in settings else None) for f in frames]
        for result in run(wishing(engine(**settings), evidence=True), still):
            assert result.path is Path.KEY
            assert not result.evidence.motion.any() and not result.evidence.residual.any()


def test_evidence_of_a_b_frame_is_of_the_side_that_its_blocks_point_to(network, coded, pan):
    frames = coded(pan(3, dx=0), gop=1, bitrate=4e6)
    bright = replace(frames[2], y=np.minimum(frames[2].y, 200) + np.uint8(40))
    leaf = replace(frames[1], kind=FrameKind.B)
    motion = coded(pan(2, dx=0), gop=2)[1].motion
    reference = np.full((8, 12), -1, np.int8)
    reference[:, 6:] = 1  # the right half is predicted from the bright picture after it
    leaf = replace(
        leaf,
        motion=replace(motion, displacement=np.zeros((8, 12, 2), np.float32), reference=reference),
    )
    made = Segmenter(Network(network(), "cpu", "fp32"), policy=CODEC_KEYS)
    segmenter = wishing(made, evidence=True)
    (_, found, _) = run(segmenter, [frames[0], leaf, bright])
    luma = found.evidence.residual[..., 0]
    assert np.abs(luma[:, :48]).mean() < 10
    assert luma[:, 48:].mean() < -30
