"""What a benchmark's samples amount to: pure functions of given numbers."""

import numpy as np
import pytest

from twnet_ros.codec import FrameKind
from twnet_ros.learn.speed.timing import (
    BEHIND,
    Samples,
    gop,
    latency,
    ratios,
    spread,
    stages,
    turns,
)
from twnet_ros.segment import Path, Segmentation


def times(network, decode=2.0, total=100.0):
    return {"decode": decode, "input": 3.0, "network": network, "output": 4.0, "total": total}


def labelled(path, network):
    labels = np.zeros((2, 2), np.uint8)
    return Segmentation(labels, 0, 0, FrameKind.P, path, 0, times(network))


def test_the_step_of_a_path_is_the_median_of_its_non_key_steps():
    samples = Samples()
    steps = [(Path.KEY, 200.0), (Path.NONKEY, 60.0), (Path.NONKEY, 50.0), (Path.NONKEY, 900.0)]
    for step in steps:
        samples.take(labelled(*step))
    assert samples.step_ms == 60.0
    assert samples.frames == 4


def test_the_step_of_the_per_frame_path_is_the_key_step():
    samples = Samples(key=[times(100.0), times(120.0), times(900.0)])
    assert samples.step_ms == 120.0


def test_the_gop_average_is_the_median_over_the_rounds():
    samples = Samples(overlapped=[20.0, 25.0, 400.0])
    assert (samples.gop_ms, samples.fps) == (25.0, 40.0)


def test_the_slowest_share_is_that_of_the_decoder_or_of_the_engine():
    samples = Samples(alone=[30.0], overlapped=[26.0])
    samples.key, samples.nonkey = [times(0, 5.0, 65.0)], [times(0, 5.0, 15.0)]
    assert gop(samples) == {"overlapped": 26.0, "one_by_one": 30.0, "slowest_share": 35.0}
    samples.key, samples.nonkey = [times(0, 40.0, 45.0)], []
    assert gop(samples)["slowest_share"] == 40.0


def test_the_slowest_share_does_not_go_by_a_busy_moment():
    """One key frame in six, one of the others hindered."""
    samples = Samples(alone=[30.0], overlapped=[26.0])
    samples.key = [times(0, 5.0, 65.0)]
    samples.nonkey = [*4 * [times(0, 5.0, 15.0)], times(0, 5.0, 905.0)]
    assert gop(samples)["slowest_share"] == round((60 + 5 * 10) / 6, 3)


def test_stages_tell_key_from_non_key_steps():
    samples = Samples(key=[times(200.0)], nonkey=[times(50.0), times(70.0)])
    found = stages(samples)
    assert found["key"]["median"] == 200.0
    assert found["nonkey"]["median"] == 60.0
    assert found["end_to_end"] == {"median": 100.0, "p95": 100.0}
    assert set(stages(Samples(key=[times(1.0)]))) == set(found) - {"nonkey", "nonkey_input"}


def test_spread_is_median_and_95th_percentile():
    assert spread(range(101)) == {"median": 50.0, "p95": 95.0}


def test_a_path_slower_than_the_frames_falls_behind():
    assert latency(Samples(overlapped=[34.0])) == BEHIND
    assert latency(Samples(overlapped=[34.0], latency=[40.0])) == BEHIND
    kept = Samples(overlapped=[33.0], latency=[40.0, 50.0])
    assert latency(kept)["median"] == 45.0


def test_ratios_say_how_many_times_as_long_the_per_frame_time_is():
    assert ratios(120.0, {"layer1": 80.0, "peer": 240.0}) == {"layer1": 1.5, "peer": 0.5}


@pytest.mark.parametrize("rounds", [1, 5])
def test_all_take_turns_and_each_is_first_once_in_a_while(rounds):
    names = ["a", "b", "c"]
    order = turns(names, rounds)
    each = [order[i : i + 3] for i in range(0, len(order), 3)]
    assert len(each) == rounds
    assert all(sorted(one) == names for one in each)
    assert [one[0] for one in each] == ["a", "b", "c", "a", "b"][:rounds]
