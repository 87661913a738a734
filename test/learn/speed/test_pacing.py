"""Streams through the engine: the same labels either way, and errors that come out."""

import numpy as np
import pytest

from coded import encode_timed
from twnet_ros.codec import ClipEncoder, CodecError, Packet
from twnet_ros.learn.speed.pacing import DECODED_LIMIT, one_by_one, overlapped
from twnet_ros.segment import Network, Segmenter


@pytest.fixture
def packets(panning):
    encoder = ClipEncoder("mpeg4", 96, 64, gop=4)
    frames = panning().clip(np.random.default_rng(0), 8)
    return [packet for rgb, _ in frames for packet in encoder.encode(rgb)]


@pytest.fixture
def segmenter(network):
    return Segmenter(Network(network(), "cpu", "fp32"))


class Recorder:
    """Keeps the labels of an engine."""

    def __init__(self, segmenter):
        self._segmenter = segmenter
        self.labels = []
        self.reset = segmenter.reset

    def step(self, frame):
        return self._keep(self._segmenter.step(frame))

    def flush(self):
        return self._keep(self._segmenter.flush())

    def _keep(self, results):
        self.labels += [result.labels for result in results]
        return results


@pytest.mark.parametrize("period_s", [0.0, 0.001])
def test_both_ways_label_alike(packets, segmenter, period_s):
    results = []
    seconds = one_by_one(packets, "mpeg4", segmenter, results.append)
    assert [r.distance for r in results] == [0, 1, 2, 3] * 2
    recorder = Recorder(segmenter)
    latencies, longer = overlapped(packets, "mpeg4", recorder, period_s)
    assert len(latencies) == len(packets)
    for result, labels in zip(results, recorder.labels, strict=True):
        np.testing.assert_array_equal(result.labels, labels)
    assert min(*latencies, seconds) > 0
    assert max(latencies) <= longer


def test_b_frames_at_the_end_are_labelled_too(panning, segmenter):
    pictures = [rgb for rgb, _ in panning().clip(np.random.default_rng(0), 7)]
    options = {"x264-params": "keyint=99:bframes=3:b-adapt=0:b-pyramid=0:scenecut=0"}
    coded = [Packet(data, n, False) for n, data in encode_timed("h264", pictures, options)]
    results = []
    one_by_one(coded, "h264", segmenter, results.append)
    latencies, _ = overlapped(coded, "h264", segmenter)
    assert len(results) == len(latencies) == len(pictures)


def test_latency_counts_from_each_packets_own_arrival(packets, segmenter):
    period_s = 0.05
    latencies, seconds = overlapped(packets, "mpeg4", segmenter, period_s)
    assert latencies[-1] <= seconds - (len(packets) - 1) * period_s


def test_a_packet_that_does_not_decode_is_an_error(packets, segmenter):
    packets[5] = Packet(b"nothing", 0, False)
    with pytest.raises(CodecError):
        one_by_one(packets, "mpeg4", segmenter, lambda result: None)
    with pytest.raises(CodecError):
        overlapped(packets, "mpeg4", segmenter)


def test_an_engine_that_fails_does_not_leave_the_decoder_waiting(packets, segmenter):
    class Failing(Recorder):
        def step(self, frame):
            raise RuntimeError("out of memory")

    assert len(packets) > DECODED_LIMIT + 1
    with pytest.raises(RuntimeError, match="out of memory"):
        overlapped(packets, "mpeg4", Failing(segmenter))
