"""What a benchmark ran on."""

import os
import platform
import resource
import sys
from pathlib import Path

import av
import torch


def describe(device: str) -> dict[str, object]:
    """Say what this machine is; ``device`` is where the network runs, ``cpu`` or ``cuda:N``."""
    gpu = None
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(device)
        gpu = {
            "name": properties.name,
            "memory_gb": round(properties.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    return {
        "cpu": _cpu_model(),
        "cores": _cores(),
        "threads": os.cpu_count(),
        "usable_threads": _usable_threads(),
        "load": round(os.getloadavg()[0], 2),  # of the minute before
        "gpu": gpu,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "libavcodec": ".".join(map(str, av.library_versions["libavcodec"])),
    }


def peak_rss_mb() -> float:
    """Return the most memory that this process ever had resident, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def _cpu_model() -> str:
    return _cpu_fields("model name")[0] if _cpu_fields("model name") else platform.machine()


def _cores() -> int | None:
    """Count the cores, two threads of one counted once; None where the system does not say."""
    places = zip(_cpu_fields("physical id"), _cpu_fields("core id"), strict=True)
    return len(set(places)) or None


def _usable_threads() -> int | None:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count()


def _cpu_fields(name: str) -> list[str]:
    """Return a field of each processor in /proc/cpuinfo; none where there is no such file."""
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines)
    return [value.strip() for key, _, value in pairs if key.strip() == name]
