"""The methods that are compared, each as an engine."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from twnet_ros.codec import FrameKind
from twnet_ros.learn.data.clip import Coding
from twnet_ros.learn.evaluation.evaluate import make_clips, score
from twnet_ros.learn.evaluation.method import METHODS, USUAL, engine
from twnet_ros.segment import Path
from twnet_ros.segment.graph import Graphs

FINE = Coding(gop=12, bits_per_pixel=2.0)


def test_every_method_takes_its_steps(network, panning):
    (clip,) = make_clips(panning(), 1, 4, FINE, 0)
    for method in METHODS:
        segmenter = engine(network(), method, "cpu", "fp32")
        results = [result for frame, _ in clip for result in segmenter.step(frame)]
        results += segmenter.flush()
        rest = Path.KEY if method == "per_frame" else Path.NONKEY
        assert [r.path for r in results] == [Path.KEY, rest, rest, rest], method
        assert [r.index for r in results] == [0, 1, 2, 3]
        assert (segmenter.device, segmenter.precision) == ("cpu", "fp32")
        segmenter.reset()
        assert segmenter.state is None


def test_every_method_labels_alike_by_graphs(network, panning, recorder_of):
    """Which hand from step to step what the state's context holds, and nothing else."""
    (clip,) = make_clips(panning(), 1, 6, Coding(gop=4, bits_per_pixel=2.0), 0)
    for method in METHODS:
        engines = [engine(network(), method, "cpu", "fp32") for _ in range(2)]
        within = engines[1]._forward if method == "interp_mv" else engines[1]
        made, recorder = within._network, recorder_of()
        made.batches, made._graphs = True, Graphs(recorder)
        plain, recorded = (
            [r for frame, _ in clip for r in one.step(frame)] + one.flush() for one in engines
        )
        assert recorder.recorded and len(plain) == 6, method
        for one, other in zip(plain, recorded, strict=True):
            np.testing.assert_array_equal(one.labels, other.labels)


def test_repeated_labels_stay_on_b_frames_too(network, panning):
    (clip,) = make_clips(panning(4), 1, 5, FINE, 0)
    repeating = engine(network(), "repeat", "cpu", "fp32")
    kinds = dict.fromkeys((1, 3), FrameKind.B)
    frames = [replace(frame, kind=kinds.get(frame.index, frame.kind)) for frame, _ in clip]
    results = [result for frame in frames for result in repeating.step(frame)]
    assert [result.index for result in results] == list(range(5))
    for result in results:
        np.testing.assert_array_equal(result.labels, results[0].labels)


def test_only_the_model_as_it_runs_fuses_logits(network, panning, monkeypatch):
    """What it is held against is the paper's."""
    clips, fuses = make_clips(panning(), 1, 4, FINE, 0), set()
    for method in METHODS:
        note = partial(lambda method, logits, *rest: fuses.add(method) or logits, method)
        monkeypatch.setattr("twnet_ros.segment.segmenter.fuse", note)
        score(network(correction="fusion"), clips, method)
    assert fuses == {"twnet", "adaptive"}


def test_without_fusion_a_model_runs_as_one_that_never_had_it(network, panning):
    (clip,) = make_clips(panning(), 1, 4, FINE, 0)
    fusing, plain = network(correction="fusion"), network(correction="rga")
    engines = [engine(fusing, "unfused", "cpu", "fp32"), engine(plain, "twnet", "cpu", "fp32")]
    for frame, _ in clip:
        one, other = (segmenter.step(frame)[0] for segmenter in engines)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert torch.equal(*(segmenter.state.context for segmenter in engines))
    assert fusing.config.fuses  # it is as it was


def test_an_unknown_method_is_told_the_others(network):
    assert (
        METHODS[: len(USUAL)] == USUAL == ("per_frame", "twnet", "adaptive", "warping", "repeat")
    )
    with pytest.raises(ValueError, match=f"expected one of {', '.join(METHODS)}, got 'magic'"):
        engine(network(), "magic", "cpu", "fp32")


def test_feature_flow_follows_optical_flow_and_no_vectors(network, panning):
    for motion in ("auto", "codec", "flow", "none"):
        assert engine(network(), "dff", "cpu", "fp32", motion).motion == "flow"
        assert engine(network(), "prop_mv", "cpu", "fp32", motion).motion == motion
    clips = make_clips(panning(4), 1, 4, FINE, 0)
    along_flow = score(network(), clips, "prop_mv", motion="flow")
    found = score(network(), clips, "dff")
    for one, other in zip(found.by_frame, along_flow.by_frame, strict=True):
        np.testing.assert_array_equal(one.counts, other.counts)


class Cut:
    """A drive that changes to another after three frames."""

    def __init__(self, source):
        self.source = source

    def clip(self, rng, frames):
        for length in (3, frames - 3):
            yield from self.source.clip(rng, length)


def test_adaptive_takes_a_key_step_at_a_cut_of_a_long_gop(network, panning):
    (clip,) = make_clips(Cut(panning()), 1, 8, Coding(gop=600, bits_per_pixel=2.0), 0)
    paths = {}
    for method in ("twnet", "adaptive"):
        segmenter = engine(network(), method, "cpu", "fp32")
        results = [segmenter.step(frame)[0] for frame, _ in clip]
        paths[method] = [r.index for r in results if r.path is Path.KEY]
    assert paths == {"twnet": [0], "adaptive": [0, 3]}
    shares = [score(network(), [clip], method).keys for method in ("twnet", "adaptive")]
    assert shares == [1 / 8, 2 / 8]


def test_adaptive_takes_key_steps_as_often_as_it_is_told(network, panning):
    clips = make_clips(panning(0), 1, 26, Coding(gop=600), 0)
    assert score(network(), clips, "adaptive").keys == 5 / 26  # one in 6
    assert score(network(), clips, "adaptive", interval=4).keys == 7 / 26
    assert score(network(), clips, "twnet", interval=4).keys == 1 / 26
