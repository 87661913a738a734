"""Steps as CUDA graphs: one launch instead of one for each of their hundreds of kernels."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from twnet_ros.segment.device import RECORDING

logger = logging.getLogger(__name__)

Tensors = tuple[Tensor, ...]
Step = Callable[..., Tensors]  # of tensors on a GPU, which it does not read back
Record = Callable[[Step, Tensors], tuple[Callable[[], None], Tensors]]
WARM_UP = 3  # runs before one is recorded, in which libraries choose their kernels
MOST = 64  # graphs of a network: both steps, of several sizes of video and numbers of streams


class RecordError(RuntimeError):
    """A step that CUDA could not record."""


class Graphs:
    """A step, recorded at its first time for each shape of its inputs, and replayed then.

    One call at a time. What comes after the first MOST shapes runs kernel by kernel, as does all
    that is new where CUDA could not record one; ``caveat`` then says so.
    """

    def __init__(self, record: Record) -> None:
        self.caveat = ""
        self._record = record
        self._graphs: dict[tuple[torch.Size, ...], Graph] = {}

    def run(self, step: Step, inputs: Tensors) -> Tensors:
        """Return what the step, which is always the same, returns for these inputs."""
        shapes = tuple(part.shape for part in inputs)
        if shapes not in self._graphs and not self.caveat:
            if len(self._graphs) < MOST:
                self._record_for(shapes, step, inputs)
            else:
                self._say(
                    f"new sizes run kernel by kernel: {MOST} CUDA graphs are recorded already"
                )
        return self._graphs.get(shapes, step)(*inputs)

    def _record_for(self, shapes: tuple[torch.Size, ...], step: Step, inputs: Tensors) -> None:
        try:
            self._graphs[shapes] = Graph(self._record, step, inputs)
        except RecordError as error:
            self._say(f"the network runs kernel by kernel: CUDA recorded no graph: {error}")

    def _say(self, caveat: str) -> None:
        self.caveat = caveat
        logger.warning(caveat)


class Graph:
    """A step as it was recorded for inputs of some shapes.

    It has inputs and results of its own, so what goes in and comes out is copied: 16 MB at most,
    0.02 ms at what an H200's memory is said to do.
    """

    def __init__(self, record: Record, step: Step, inputs: Tensors) -> None:
        self._inputs = tuple(part.clone() for part in inputs)
        self._replay, self._results = record(step, self._inputs)

    def __call__(self, *inputs: Tensor) -> Tensors:
        """Return what the step returns for these inputs, in memory of its own."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._replay()
        return tuple(result.clone() for result in self._results)


class Recorder:
    """Records steps on a GPU.

    They share a pool of memory, since one of them runs at a time and its results are copied.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, step: Step, inputs: Tensors) -> tuple[Callable[[], None], Tensors]:
        """Record a step of these very inputs.

        Returns what computes it again, and the results that it then fills. RecordError where CUDA
        cannot; what the step itself raises is raised.
        """
        with RECORDING, torch.cuda.device(self._device):
            usual = torch.cuda.current_stream()
            self._stream.wait_stream(usual)
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UP):
                    step(*inputs)
            with torch.cuda.stream(usual):  # to which it returns from a recording that fails, too
                graph, results = self._capture(step, inputs)
            usual.wait_stream(self._stream)
        return graph.replay, results

    def _capture(self, step: Step, inputs: Tensors) -> tuple[torch.cuda.CUDAGraph, Tensors]:
        graph = torch.cuda.CUDAGraph()
        try:
            # By thread: others go on with work of theirs that a recording could not hold.
            with torch.cuda.graph(graph, self._pool, self._stream, "thread_local"):
                return graph, step(*inputs)
        except RuntimeError as error:
            cause = error.__context__ or error  # the end of a recording that failed fails, too
            if isinstance(cause, torch.cuda.OutOfMemoryError):
                raise cause from None  # when there is room it may be recorded yet
            raise RecordError(str(cause).partition("\n")[0]) from error
