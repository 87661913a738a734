"""One network for many streams: what is shared, what runs together, and what stays apart."""

import gc
import os
import threading
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from twnet_ros.net import save_checkpoint
from twnet_ros.segment import Network, Segmenter, SegmentError
from twnet_ros.segment import network as network_module


def image(seed, height=64, width=96):
    made = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return made.contiguous(memory_format=torch.channels_last)


def carried(seed, state):
    """An image, and motion and residual on the state's grid."""
    h, w = state.context.shape[-2:]
    generator = torch.Generator().manual_seed(seed)
    motion = torch.randn(1, 2, h, w, generator=generator)
    return image(seed), motion, 9 * torch.rand(1, 3, h, w, generator=generator), state


class Spy:
    """Keeps of each call its kind and how many images it had; fails where one is not a number."""

    def __init__(self, network):
        self._network, self.calls = network, []

    def key(self, image):
        return self._see("key", image, lambda: self._network.key(image))

    def nonkey(self, image, *carried):
        return self._see("nonkey", image, lambda: self._network.nonkey(image, *carried))

    def _see(self, kind, image, step):
        self.calls.append((kind, len(image)))
        if image.isnan().any():
            raise FloatingPointError("not a number")
        return step()


class Arrivals(deque):
    """A queue that tells when something came."""

    def __init__(self):
        super().__init__()
        self.came = threading.Semaphore(0)

    def append(self, item):
        super().append(item)
        self.came.release()


@pytest.fixture
def placed(network):
    """A network that batches, as on a device where that pays, with a spy inside."""
    made = Network(network(), "cpu", "fp32")
    made.batches = True
    made._network, made._waiting = Spy(made._network), Arrivals()
    return made


def together(placed, *calls):
    """Run calls in threads that all wait while the network is busy; return what came of them."""
    with ThreadPoolExecutor(len(calls)) as pool:
        with placed._turn:
            futures = [pool.submit(*call) for call in calls]
            for _ in calls:
                placed._waiting.came.acquire()
        return [future.exception() or future.result() for future in futures]


def close(one, other):
    torch.testing.assert_close(one[0], other[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(one[1].context, other[1].context, rtol=1e-4, atol=1e-4)
    assert one[1].distance == other[1].distance


def test_a_file_in_use_is_not_loaded_again(model, tmp_path):
    first = Network.load(model, "cpu", "fp32")
    assert Network.load(str(model), "cpu", "fp32") is first
    link = tmp_path / "link.safetensors"
    link.symlink_to(model)
    assert Network.load(link, "cpu", "fp32") is first
    assert Network.load(model, "cpu", "bf16") is not first
    one, other = (Segmenter.load(model, "cpu", "fp32") for _ in range(2))
    assert one._network is other._network is first


def test_an_automatic_choice_is_shared_with_the_same_one_by_name(model):
    chosen = Network.load(model)
    assert Network.load(model) is chosen
    assert Network.load(model, str(chosen.device), chosen.precision) is chosen
    named = Network.load(model, "cpu", "bf16"), Network.load(model, "cpu", "fp32")
    assert Network.load(model, "cpu", "auto") in named


def test_a_file_that_was_written_anew_is_loaded_anew(network, tmp_path):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, network())
    os.utime(path, ns=(1, 1))
    first = Network.load(path, "cpu", "fp32")
    save_checkpoint(path, network(seed=1))
    second = Network.load(path, "cpu", "fp32")
    assert second is not first
    assert not torch.equal(first.key(image(0))[0], second.key(image(0))[0])


def test_a_network_that_nobody_uses_is_let_go(network, tmp_path):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, network())
    first = weakref.ref(Network.load(path, "cpu", "fp32"))
    gc.collect()
    assert first() is None


def test_threads_that_load_at_the_same_time_get_one_network(model, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.write_bytes(model.read_bytes())
    read, loads = network_module.load_checkpoint, []
    monkeypatch.setattr(network_module, "load_checkpoint", lambda p: loads.append(p) or read(p))
    barrier = threading.Barrier(4)

    def load():
        barrier.wait()
        return Network.load(path, "cpu", "fp32")

    with ThreadPoolExecutor(4) as pool:
        found = [future.result() for future in [pool.submit(load) for _ in range(4)]]
    assert len(set(map(id, found))) == 1 and loads == [path]


def test_wrong_settings_are_refused_though_the_file_is_in_use(model):
    used = Network.load(model, "cpu", "fp32")
    with pytest.raises(SegmentError, match="precision on cpu: expected auto or one of"):
        Network.load(model, "cpu", "int8")
    with pytest.raises(SegmentError, match="device: expected auto or one of"):
        Network.load(model, "tpu")
    assert used.precision == "fp32"


def test_steps_that_wait_run_as_one(placed):
    alone = [placed.key(image(seed)) for seed in range(3)]
    placed._network.calls.clear()
    found = together(placed, *[(placed.key, image(seed)) for seed in range(3)])
    assert placed._network.calls == [("key", 3)]
    for one, other in zip(found, alone, strict=True):
        close(one, other)
        assert not one[0].requires_grad


def test_each_stream_goes_on_from_its_own_state(placed):
    """Their distances differ, too."""
    states = [placed.key(image(seed))[1] for seed in range(3)]
    states[1] = placed.nonkey(*carried(7, states[1]))[1]
    alone = [placed.nonkey(*carried(seed, state.clone())) for seed, state in enumerate(states)]
    placed._network.calls.clear()
    found = together(
        placed, *[(placed.nonkey, *carried(seed, s)) for seed, s in enumerate(states)]
    )
    assert placed._network.calls == [("nonkey", 3)]
    assert [state.distance for _, state in found] == [1, 2, 1]
    for one, other in zip(found, alone, strict=True):
        close(one, other)


def test_no_stream_s_state_lies_in_another_s_memory(placed):
    found = together(placed, *[(placed.key, image(seed)) for seed in range(3)])
    for which in (lambda r: r[0], lambda r: r[1].context):
        parts = [which(result) for result in found]
        for part in parts:
            assert part.untyped_storage().nbytes() == part.nbytes
            assert part.is_contiguous(memory_format=torch.channels_last)
        assert len({part.data_ptr() for part in parts}) == 3


def test_only_steps_of_one_kind_and_shape_run_together(placed):
    states = [placed.key(image(seed))[1] for seed in range(2)]
    large = placed.key(image(5, 96, 128))
    placed._network.calls.clear()
    calls = [
        (placed.key, image(0)),
        (placed.nonkey, *carried(1, states[0])),
        (placed.key, image(5, 96, 128)),
        (placed.key, image(3)),
        (placed.nonkey, *carried(2, states[1])),
    ]
    found = together(placed, *calls)
    assert sorted(placed._network.calls) == [("key", 1), ("key", 2), ("nonkey", 2)]
    assert [state.distance for _, state in found] == [0, 1, 0, 0, 1]
    close(found[2], large)
    assert not placed._waiting


def test_a_failure_is_that_step_s_alone(placed):
    alone = [placed.key(image(seed)) for seed in range(3)]
    placed._network.calls.clear()
    broken = torch.full_like(image(0), float("nan"))
    inputs = [image(0), image(1), broken, image(2)]
    found = together(placed, *[(placed.key, one) for one in inputs])
    assert isinstance(found.pop(2), FloatingPointError)
    for one, other in zip(found, alone, strict=True):
        close(one, other)
    assert placed._network.calls == [("key", 4)] + [("key", 1)] * 4
    assert not placed._waiting
    close(placed.key(image(0)), alone[0])


def test_the_next_step_runs_after_one_that_failed(placed):
    with pytest.raises(FloatingPointError):
        placed.key(torch.full_like(image(0), float("nan")))
    placed.key(image(0))
    assert placed._network.calls == [("key", 1)] * 2 and not placed._waiting


def test_on_a_cpu_nobody_waits_for_another_s_step(network):
    made = Network(network(), "cpu", "fp32")
    assert not made.batches
    inner, together = made._network, threading.Barrier(3)

    class Meeting:
        """Goes on when three steps have begun."""

        def key(self, image):
            together.wait(timeout=60)
            return inner.key(image)

    alone = [made.key(image(seed)) for seed in range(3)]
    made._network = Meeting()
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(made.key, map(image, range(3))))
    for one, other in zip(found, alone, strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1].context, other[1].context)


@pytest.mark.parametrize("batches", [False, True])
def test_streams_of_one_network_are_labelled_as_if_alone(network, coded, pan, batches):
    clips = [coded(pan(6, dx=dx, seed=dx % 9), gop=gop) for dx, gop in ((4, 6), (-4, 3), (2, 6))]

    def run(segmenter, frames):
        return [result for frame in frames for result in segmenter.step(frame)]

    made = Network(network(), "cpu", "fp32")
    alone = [run(Segmenter(made), frames) for frames in clips]
    made.batches = batches
    with ThreadPoolExecutor(3) as pool:
        segmenters = [Segmenter(made) for _ in clips]
        found = list(pool.map(run, segmenters, clips))
    for one, other in zip(found, alone, strict=True):
        for a, b in zip(one, other, strict=True):
            assert (a.path, a.distance, a.index) == (b.path, b.distance, b.index)
            assert np.mean(a.labels == b.labels) > 0.995


def test_those_who_leave_a_device_share_the_network_on_the_cpu(network):
    made = Network(network(), "cpu", "fp32")
    assert made.on_cpu() is made
    made._model = network()  # as it is kept where the device is another
    fallen = made.on_cpu()
    assert fallen is not made and fallen.device == torch.device("cpu")
    assert made.on_cpu() is fallen


def test_the_callers_network_stays_as_it_is(network):
    made = network()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    Network(made, "cpu", "bf16")
    for name, tensor in made.state_dict().items():
        assert tensor.dtype == before[name].dtype
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
