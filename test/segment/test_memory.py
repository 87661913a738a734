"""Memory that is freed stays with the process."""

import platform
import subprocess
import sys

import pytest

# Counts the pages that a thread other than the first touches anew in blocks like the network's.
PROBE = """
import resource, threading
import torch
from twnet_ros.segment.memory import keep_memory

keep_memory()

def touch():
    for megabytes in (40, 3, 36):  # above 32 every block is a mapping by default
        torch.ones(megabytes << 18)

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    for _ in range(40):  # until the heap is as large as it gets
        touch()
    before = pages()
    for _ in range(5):
        touch()
    print(pages() - before)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_not_asked_for_anew():
    result = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    anew = int(result.stdout)
    assert anew < 5 * (79 << 8) / 20  # 256 pages a megabyte, and less than a twentieth of them
