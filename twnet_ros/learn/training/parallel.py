"""Training in several processes, as torchrun starts them; in one alone nothing here has effect.

Every process holds the whole model and walks through its share of each batch. Gradients are
averaged before each step, so that the parameters stay the same everywhere, and are those that one
process finds with the whole batch. The first process alone scores, logs and stores; the others
wait for it where gradients meet next.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from twnet_ros.segment.device import find_device

PATIENCE = timedelta(days=1)  # with the first process; when one fails, torchrun ends the others


@contextmanager
def processes(device: str) -> Iterator[str]:
    """Join the processes that torchrun started, if it did; yield the device of this one.

    On CUDA each process has a GPU of its own. ValueError where ``device`` names a single one.
    """
    if not dist.is_torchelastic_launched():
        yield device
        return
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(
            f"device: expected auto, cpu or cuda for several processes, got {device!r}"
        )
    own = find_device(device)
    if own.type == "cuda":
        own = find_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(own)
        dist.init_process_group("nccl", timeout=PATIENCE, device_id=own)
    else:
        dist.init_process_group("gloo", timeout=PATIENCE)
    yield str(own)
    # Only after success: where one has failed, the others never come to leave the group.
    dist.barrier()
    dist.destroy_process_group()


def count() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Say whether this is the process that scores, logs and stores."""
    return not dist.is_initialized() or dist.get_rank() == 0


def share(batch: int) -> range:
    """Return which samples of each batch are this process's; ValueError if shares differ."""
    if batch % count():
        raise ValueError(f"batch: expected a multiple of the {count()} processes, got {batch}")
    own = batch // count()
    rank = dist.get_rank() if dist.is_initialized() else 0
    return range(rank * own, (rank + 1) * own)


def total(tensor: Tensor) -> Tensor:
    """Return the sum of the processes' tensors."""
    if dist.is_initialized():
        tensor = tensor.clone()
        dist.all_reduce(tensor)
    return tensor


def mean(tensor: Tensor) -> Tensor:
    """Return the mean of the processes' tensors."""
    return total(tensor) / count()


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes, all in one message."""
    if count() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    means = mean(torch.cat([gradient.flatten() for gradient in gradients]))
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, part in zip(gradients, torch.split(means, sizes), strict=True):
        gradient.copy_(part.view_as(gradient))


def start_alike(model: nn.Module) -> None:
    """Give every process the first one's tensors, and none goes on before all have come here."""
    if dist.is_initialized():
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, 0)
        dist.barrier()


def join_norms(model: nn.Module, device: str) -> None:
    """Let batch norms that learn take their statistics over the whole batch.

    Torch can on CUDA alone. On the CPU each process normalises by its own share of the batch, and
    the statistics that are kept are the first one's.
    """
    if count() > 1 and torch.device(device).type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
