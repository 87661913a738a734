"""Steps that are recorded and replayed: what they return, and that it stays what it was."""

import logging

import pytest
import torch

from twnet_ros.segment import Network, Segmenter
from twnet_ros.segment import network as network_module
from twnet_ros.segment.graph import MOST, Graphs, RecordError


def plus(x, y):
    """Works in place, as steps do that consume their state."""
    y += x
    return y, 2 * y


def of(*values):
    return tuple(torch.full((2, 3), float(value)) for value in values)


def test_a_replay_is_of_the_inputs_given_and_leaves_earlier_results_alone(recorder_of):
    graphs = Graphs(recorder := recorder_of())
    calls = [of(1, 2), of(3, 4), of(5, 6)]
    found = [graphs.run(plus, inputs) for inputs in calls]
    assert len(recorder.recorded) == 1
    assert [[part.unique().tolist() for part in pair] for pair in found] == [
        [[3], [6]],
        [[7], [14]],
        [[11], [22]],
    ]
    assert calls[0][1].unique().tolist() == [2]


def test_each_shape_is_recorded_once_and_not_more_than_there_is_room_for(recorder_of):
    recorder = recorder_of()
    graphs = Graphs(recorder)
    sizes = range(1, MOST + 3)
    said = []
    for size in [*sizes, *sizes]:
        (total, _) = graphs.run(plus, (torch.ones(size), torch.ones(size)))
        assert total.tolist() == [2] * size
        said.append(f"kernel by kernel: {MOST} CUDA graphs" in graphs.caveat)
    assert said == [n >= MOST for n in range(len(said))]
    assert [shapes[0].numel() for shapes in recorder.recorded] == list(sizes)[:MOST]


def test_what_cannot_be_recorded_runs_as_it_is_and_says_so_once(caplog, recorder_of):
    recorder = recorder_of(RecordError("operation not permitted when stream is capturing"))
    graphs = Graphs(recorder)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            (total, _) = graphs.run(plus, of(1, 2))
            assert total.unique().tolist() == [3]
    assert not recorder.recorded
    assert "CUDA recorded no graph: operation not permitted when" in graphs.caveat
    assert [record.getMessage() for record in caplog.records] == [graphs.caveat]


@pytest.mark.parametrize("failure", [torch.cuda.OutOfMemoryError, RuntimeError])
def test_a_failure_of_the_step_itself_is_raised_and_it_may_be_tried_again(failure, recorder_of):
    graphs = Graphs(recorder_of(failure("no room")))
    with pytest.raises(failure, match="no room"):
        graphs.run(plus, of(1, 2))
    assert graphs.run(plus, of(1, 2))[0].unique().tolist() == [3] and graphs.caveat == ""


@pytest.mark.parametrize("correction", ["fusion", "rga"])
def test_streams_are_labelled_alike_by_graphs(
    network, coded, coded_with_b, pan, correction, recorder_of
):
    """Several of them by turns, so that each finds the others' results in the graphs' memory."""
    clips = [coded(pan(6), gop=4), coded(pan(6, dx=-3, seed=5), gop=3), coded_with_b(pan(6))]

    def run(network):
        segmenters = [Segmenter(network) for _ in clips]
        frames = zip(*clips, strict=True)
        found = [[s.step(f) for s, f in zip(segmenters, turn, strict=True)] for turn in frames]
        return [one for turn in found for results in turn for one in results]

    plain, recorded = (Network(network(correction=correction), "cpu", "fp32") for _ in range(2))
    recorded.batches, recorded._graphs = True, Graphs(recorder := recorder_of())
    expected, found = run(plain), run(recorded)
    assert len(found) == len(expected) >= 17
    for one, other in zip(found, expected, strict=True):
        assert (one.path, one.distance, one.index) == (other.path, other.distance, other.index)
        assert (one.labels == other.labels).all()
    assert [len(shapes) for shapes in recorder.recorded] == [1, 4]  # a key and a non-key step


def test_streams_that_run_together_are_one_graph(network, recorder_of):
    made = Network(network(), "cpu", "fp32")
    torch.manual_seed(0)
    images = [torch.randn(1, 3, 64, 96) for _ in range(2)]
    alone = [made.key(image) for image in images]
    made._graphs = Graphs(recorder := recorder_of())
    steps = [network_module._Step((image,)) for image in images]
    made._run_together(steps)
    assert [shapes[0][0] for shapes in recorder.recorded] == [2]
    for step, (logits, state) in zip(steps, alone, strict=True):
        torch.testing.assert_close(step.result[0], logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(step.result[1].context, state.context, rtol=1e-4, atol=1e-4)


def test_a_network_says_what_its_graphs_lack(network, coded, pan, recorder_of):
    made = Network(network(), "cpu", "fp32")
    made.batches, made._graphs = True, Graphs(recorder_of(RecordError("not supported")))
    segmenter = Segmenter(made)
    assert segmenter.caveat == ""
    assert len(segmenter.step(coded(pan(1))[0])) == 1
    assert "kernel by kernel" in segmenter.caveat and "not supported" in segmenter.caveat
