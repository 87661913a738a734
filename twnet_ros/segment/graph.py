"""Steps as CUDA graphs: one launch instead of one for each of their hundreds of kernels."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

Tensors = tuple[Tensor, ...]
Step = Callable[..., Tensors]  # of tensors on a GPU, which it does not read back
Record = Callable[[Step, Tensors], tuple[Callable[[], None], Tensors]]
WARM_UP = 3  # runs before one is recorded, in which libraries choose their kernels
MOST = 8  # graphs kept: both steps of four sizes of video


class Graphs:
    """A step, recorded at its first time for each shape of its inputs, and replayed then.

    One call at a time. Where CUDA cannot record it, it runs kernel by kernel from then on, and
    ``caveat`` says so.
    """

    def __init__(self, record: Record) -> None:
        self.caveat = ""
        self._record = record
        self._graphs: OrderedDict[tuple[torch.Size, ...], Graph] = OrderedDict()

    def run(self, step: Step, inputs: Tensors) -> Tensors:
        """Return what the step, which is always the same, returns for these inputs."""
        shapes = tuple(part.shape for part in inputs)
        if shapes not in self._graphs and not self.caveat:
            self._add(shapes, step, inputs)
        if shapes not in self._graphs:
            return step(*inputs)
        self._graphs.move_to_end(shapes)
        return self._graphs[shapes](*inputs)

    def _add(self, shapes: tuple[torch.Size, ...], step: Step, inputs: Tensors) -> None:
        try:
            self._graphs[shapes] = Graph(self._record, step, inputs)
        except torch.cuda.OutOfMemoryError:
            raise  # when there is room it may be recorded yet
        except RuntimeError as error:
            self.caveat = f"the network runs kernel by kernel: CUDA recorded no graph: {error}"
            logger.warning(self.caveat)
        if len(self._graphs) > MOST:
            self._graphs.popitem(last=False)


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

        Returns what computes it again, and the results that it then fills.
        """
        graph = torch.cuda.CUDAGraph()
        with _ONE_AT_A_TIME, torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UP):
                    step(*inputs)
            # By thread: others go on with work of theirs that a recording could not hold.
            with torch.cuda.graph(graph, self._pool, self._stream, "thread_local"):
                results = step(*inputs)
            torch.cuda.current_stream().wait_stream(self._stream)
        return graph.replay, results


_ONE_AT_A_TIME = threading.Lock()  # all that CUDA offers to a process
