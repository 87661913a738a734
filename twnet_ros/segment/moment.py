"""Moments on a device that works behind the host, without waiting for it."""

import time
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Moment:
    """When a device has done what it was asked for so far: on a CPU at once, on a GPU later."""

    seconds: float = 0.0  # of ``time.perf_counter``, when it was asked
    event: torch.cuda.Event | None = None  # of a GPU

    @classmethod
    def of(cls, device: torch.device) -> "Moment":
        """Return this moment on a device."""
        if device.type != "cuda":
            return cls(time.perf_counter())
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(device))
        return cls(time.perf_counter(), event)

    def wait(self) -> None:
        """Return when it has come."""
        if self.event:
            self.event.synchronize()

    def ms_to(self, later: "Moment") -> float:
        """Return the milliseconds to a later moment on the same device, when that has come."""
        if self.event and later.event:
            later.wait()
            return float(self.event.elapsed_time(later.event))
        return 1e3 * (later.seconds - self.seconds)
