"""Choosing the device and the precision that the network runs in."""

import copy
import logging
import math
import threading
import time
from collections.abc import Callable
from functools import partial

import torch

from twnet_ros.net import TWNet, fold, use_onednn
from twnet_ros.segment.segmentation import SegmentError

logger = logging.getLogger(__name__)

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
BF16_GAIN = 1.3  # how much faster bfloat16 must be: a clear case, not a busy moment
RECORDING = threading.Lock()  # of a CUDA graph: one in a process, and no memory is freed meanwhile
SUPPORTED = {"cpu": ("fp32", "bf16"), "cuda": ("fp16", "bf16", "fp32")}


def choose(model: TWNet, device: str, precision: str) -> tuple[torch.device, str]:
    """Resolve ``auto``: a CUDA device where there is one, in float16; else the CPU, measured.

    On the CPU bfloat16 is several times faster than float32 where the processor has
    instructions for it, and many times slower where it has none. SegmentError names what is
    available.
    """
    chosen = find_device(device)
    check_precision(chosen, precision)
    if precision != "auto":
        return chosen, precision
    if chosen.type == "cuda":
        return chosen, "fp16"
    if not has_bf16(chosen):
        return chosen, "fp32"
    return chosen, "bf16" if _gain(model) > BF16_GAIN else "fp32"


def check_precision(device: torch.device, precision: str) -> None:
    """Raise SegmentError unless the precision is ``auto`` or one that is offered on the device."""
    offered = SUPPORTED[device.type]
    if precision not in ("auto", *offered):
        raise SegmentError(
            f"precision on {device.type}: expected auto or one of {', '.join(offered)}, "
            f"got {precision!r}"
        )


def round_nothing(device: torch.device) -> None:
    """Have a GPU compute float32 with all its bits: who wants TF32's ten asks for fp16."""
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False


def has_bf16(device: torch.device) -> bool:
    """Say whether the device computes convolutions in bfloat16 by instructions of its own."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return has_onednn() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def has_onednn() -> bool:
    """Say whether torch was built with oneDNN, which computes convolutions on CPUs."""
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def place(model: TWNet, device: torch.device, dtype: torch.dtype) -> TWNet:
    """Return a copy of a model on a device, in the form in which it runs there."""
    network = copy.deepcopy(model).eval()
    fold(network)
    # In bfloat16 oneDNN asks for instructions for it; without them PyTorch has slow kernels.
    if device.type == "cpu" and has_onednn() and (dtype != torch.bfloat16 or has_bf16(device)):
        use_onednn(network)
    network.to(device, dtype)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def by_turns(*steps: Callable[[], object]) -> list[float]:
    """Return the seconds that each of the steps took at its best of five.

    They run by turns: what else the machine does meanwhile then slows all alike.
    """
    best = [math.inf] * len(steps)
    for _ in range(5):
        for number, step in enumerate(steps):
            start = time.perf_counter()
            step()
            best[number] = min(best[number], time.perf_counter() - start)
    return best


def share_threads(streams: int) -> None:
    """Give each of so many streams its share of the threads that a step runs on, at least one.

    Streams side by side, on a thread each, wait for nothing; the threads of one step wait for each
    other, at every layer, and for those of other steps. It holds for threads that torch has not
    run on yet, and for the caller's.
    """
    torch.set_num_threads(max(1, torch.get_num_threads() // streams))


def find_device(name: str) -> torch.device:
    """Return the device called ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; SegmentError if none."""
    available = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if name == "auto":
        return torch.device("cpu" if len(available) == 1 else "cuda:0")
    if name == "cuda" and len(available) > 1:
        return torch.device("cuda:0")
    if name not in available:
        raise SegmentError(f"device: expected auto or one of {', '.join(available)}, got {name!r}")
    return torch.device(name)


def memory_bytes(device: str) -> tuple[int, int] | None:
    """Return what torch uses, and what it has reserved, of a GPU's memory; None for the CPU."""
    if torch.device(device).type != "cuda":
        return None
    return torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)


def free_memory() -> None:
    """Give GPUs back what torch has reserved of them and nothing uses any more.

    Where torch refuses, as before 2.13 it does for good after a recording that failed, a warning
    says so.
    """
    with RECORDING:
        try:
            torch.cuda.empty_cache()
        except RuntimeError as error:
            logger.warning(f"GPU memory was not freed: {error}")


def _gain(model: TWNet) -> float:
    """Return how many times as fast as float32 bfloat16 is on the CPU, for key steps."""
    dtypes = torch.float32, torch.bfloat16
    networks = [place(model, torch.device("cpu"), dtype) for dtype in dtypes]
    image = torch.zeros(1, 3, 256, 256).contiguous(memory_format=torch.channels_last)
    images = [image.to(dtype) for dtype in dtypes]
    steps = [partial(n.key, x) for n, x in zip(networks, images, strict=True)]
    with torch.inference_mode():
        single, half = by_turns(*steps)
    return single / half
