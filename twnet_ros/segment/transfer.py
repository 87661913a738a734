"""Between the host's memory and a device's.

On a GPU copies start from page-locked memory and run behind the host, in the order of the other
work there; only ``download`` waits for it.
"""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def upload(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array as a tensor on a device; on the CPU, in the array's own memory."""
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)  # torch keeps it until it was read


def download(*tensors: Tensor) -> tuple[NDArray[Any], ...]:
    """Return tensors of one device as arrays, once all that was asked of the device is done."""
    device = tensors[0].device
    if device.type != "cuda":
        return tuple(tensor.numpy() for tensor in tensors)
    found = tuple(torch.empty(part.shape, dtype=part.dtype, pin_memory=True) for part in tensors)
    for host, part in zip(found, tensors, strict=True):
        host.copy_(part, non_blocking=True)
    torch.cuda.current_stream(device).synchronize()
    return tuple(host.numpy().copy() for host in found)  # what may be kept is not page-locked
