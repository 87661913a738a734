"""The network as it runs: placed on a device, and shared by the streams of a process."""

import os
import pathlib
import threading
import weakref
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from twnet_ros.net import CheckpointError, FeatureState, TWNet, load_checkpoint
from twnet_ros.segment.device import PRECISIONS, choose, find_device, place, round_nothing
from twnet_ros.segment.graph import Graphs, Recorder
from twnet_ros.segment.memory import keep_memory
from twnet_ros.segment.moment import Moment
from twnet_ros.segment.segmentation import SegmentError

MODELS = pathlib.Path(__file__).parents[1] / "models"


def find_model(model: str | os.PathLike[str]) -> pathlib.Path:
    """Return the file of a shipped model's name or of a path; SegmentError where there is none."""
    shipped = {path.stem: path for path in sorted(MODELS.glob("*.safetensors"))}
    if str(model) in shipped:
        return shipped[str(model)]
    path = pathlib.Path(model)
    if not path.is_file():
        raise SegmentError(
            f"model: expected a checkpoint file or one of {', '.join(shipped) or 'none shipped'}, "
            f"got {str(model)!r}"
        )
    return path


@dataclass(slots=True, eq=False)
class _Step:
    """A key step of an image, or a non-key step of image, motion, residual and a state."""

    inputs: tuple[Tensor, ...]
    state: FeatureState | None = None
    result: tuple[Tensor, FeatureState] | None = None
    alone: bool = False  # a batch that it was of failed

    @property
    def shapes(self) -> tuple[torch.Size, ...]:
        return tuple(part.shape for part in self.inputs)


class Network:
    """A network on a device, for any number of streams, each with a state of its own.

    Threads may call it at the same time. On a CPU their steps run side by side. On other devices
    one step runs at a time; those that wait for it are run together when it ends, as one batch for
    each kind and shape. Nothing waits for others to come. On a GPU, which works behind the host,
    what runs is one launch (``Graphs``).
    """

    def __init__(self, model: TWNet, device: str = "auto", precision: str = "auto") -> None:
        """Put a copy of what ``load_checkpoint`` returns onto a device; see ``load``."""
        if find_device(device).type == "cpu":
            keep_memory()
        self.config = model.config
        self.device, self.precision = choose(model, device, precision)
        self.dtype = PRECISIONS[self.precision]
        if self.precision == "fp32":
            round_nothing(self.device)
        self._network = place(model, self.device, self.dtype)
        self._model = None if self.device.type == "cpu" else model  # for a CPU to fall back on
        self._on_cpu: weakref.ref[Network] | None = None
        # On a CPU a batch gains nothing and takes more: four streams of 480x360, layer 1, on two
        # cores came to 0.97 to 1.02 (bf16) and 0.83 to 1.03 times (fp32) the frames a second of
        # one step after another, and the process to 449 instead of 297 MB of its own (bf16).
        # Side by side, a thread each, they came to 63 to 65 frames a second instead of 35 to 43.
        self.batches = self.device.type != "cpu"
        self._waiting: deque[_Step] = deque()
        self._turn = threading.Lock()
        self._end = Moment()  # of the last step
        self._graphs = Graphs(Recorder(self.device)) if self.device.type == "cuda" else None

    @classmethod
    def load(
        cls, model: str | os.PathLike[str], device: str = "auto", precision: str = "auto"
    ) -> "Network":
        """Load a shipped model by name, or a checkpoint file.

        ``device`` is ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``precision`` ``auto``, ``fp32``,
        ``bf16`` or (CUDA) ``fp16``. As long as a network of the same file, device and precision is
        in use, it is that one. SegmentError says what was expected.
        """
        path = find_model(model).resolve()
        where = find_device(device)
        with _LOADING:
            version = path.stat()  # before it is read: what is written meanwhile is another file

            def name(precision: str) -> tuple[object, ...]:
                return path, version.st_mtime_ns, version.st_size, where, precision

            if (shared := _LOADED.get(name(precision))) is not None:
                return shared
            try:
                network = load_checkpoint(path)
            except CheckpointError as error:
                raise SegmentError(f"model: {error}") from error
            _, chosen = choose(network, device, precision)
            made = _LOADED.get(name(chosen)) or cls(network, device, chosen)
            _LOADED[name(precision)] = _LOADED[name(chosen)] = made
            return made

    @property
    def caveat(self) -> str:
        """What is not as it could be, as text for a person."""
        return self._graphs.caveat if self._graphs else ""

    def on_cpu(self) -> "Network":
        """Return this network on the CPU, one for all who ask as long as it is in use."""
        if self._model is None:
            return self
        with _LOADING:
            made = self._on_cpu() if self._on_cpu else None
            if made is None:
                made = Network(self._model, "cpu")
                self._on_cpu = weakref.ref(made)
            return made

    def key(self, image: Tensor) -> tuple[Tensor, FeatureState]:
        """Take the key step, as ``TWNet.key`` does, for one image (1, 3, H, W)."""
        return self._take(_Step((image,)))

    def nonkey(
        self, image: Tensor, motion: Tensor, residual: Tensor, state: FeatureState
    ) -> tuple[Tensor, FeatureState]:
        """Take the non-key step, as ``TWNet.nonkey`` does, for one image (1, 3, H, W)."""
        return self._take(_Step((image, motion, residual), state))

    @torch.inference_mode()
    def _take(self, step: _Step) -> tuple[Tensor, FeatureState]:
        """Run a step, or wait for the thread that runs it with its own."""
        if not self.batches:
            return self._compute(step.inputs, step.state)
        self._waiting.append(step)
        with self._turn:
            if step.result is None:
                self._end.wait()  # meanwhile others come, to run together with this one
                self._run(step)
                self._end = Moment.of(self.device)
        assert step.result is not None
        return step.result

    def _run(self, step: _Step) -> None:
        """Run a step with those like it that wait."""
        steps = self._gather(step)
        if len(steps) > 1:
            try:
                return self._run_together(steps)
            except Exception:
                for one in steps:  # each thread tries again: a failure is its own step's
                    one.alone = True
        step.result = self._launch(step.inputs, step.state)

    def _gather(self, step: _Step) -> list[_Step]:
        """Take a step and those like it from among those that wait."""
        if step.alone:
            return [step]
        # Others may add to the queue meanwhile; only the thread whose turn it is takes from it.
        waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
        alike = [one for one in waiting if one.shapes == step.shapes]
        self._waiting.extend(one for one in waiting if one.shapes != step.shapes)
        return alike

    def _run_together(self, steps: list[_Step]) -> None:
        """Run steps of one kind and shape as a batch; what each returns is its own memory."""
        inputs = tuple(
            torch.cat(parts) for parts in zip(*(one.inputs for one in steps), strict=True)
        )
        contexts = [one.state.context for one in steps if one.state]
        before = FeatureState(torch.cat(contexts), 0) if contexts else None
        logits, after = self._launch(inputs, before)
        for n, one in enumerate(steps):
            distance = one.state.distance + 1 if one.state else 0
            state = FeatureState(after.context[n : n + 1].clone(), distance)
            one.result = logits[n : n + 1].clone(), state

    def _launch(
        self, inputs: tuple[Tensor, ...], state: FeatureState | None
    ) -> tuple[Tensor, FeatureState]:
        """Compute a step, by its graph where there are graphs."""
        if self._graphs is None:
            return self._compute(inputs, state)
        context = (state.context,) if state else ()
        logits, after = self._graphs.run(self._compute_tensors, (*inputs, *context))
        return logits, FeatureState(after, state.distance + 1 if state else 0)

    def _compute(
        self, inputs: tuple[Tensor, ...], state: FeatureState | None
    ) -> tuple[Tensor, FeatureState]:
        if state is None:
            (image,) = inputs
            return self._network.key(image)
        image, motion, residual = inputs
        return self._network.nonkey(image, motion, residual, state)

    def _compute_tensors(self, image: Tensor, *carried: Tensor) -> tuple[Tensor, Tensor]:
        """Do the same from tensors to tensors: logits and context, from motion to context."""
        state = FeatureState(carried[-1], 0) if carried else None
        logits, after = self._compute((image, *carried[:-1]), state)
        return logits, after.context


# The networks that are in use, by file, its time and size, device, and precision.
_LOADED: weakref.WeakValueDictionary[tuple[object, ...], Network] = weakref.WeakValueDictionary()
_LOADING = threading.Lock()
