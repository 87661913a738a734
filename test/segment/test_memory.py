"""Memory that is freed stays with the process."""

import platform
import subprocess
import sys

import pytest

# Counts the pages that a thread other than the first touches anew in blocks like the network's.
PROBE = """
import resource, sys, threading
import torch
from twnet_ros.segment.memory import keep_memory

def touch():
    # Above 32 MB every block is a mapping by default; two of them exceed a thread's heap.
    return [torch.ones(megabytes << 18) for megabytes in (50, 6, 30, 6)]

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

began, kept = threading.Event(), threading.Event()

def work():
    torch.ones(1)  # glibc gives the thread a heap
    began.set()
    kept.wait()
    for _ in range(40):  # until the heap is as large as it gets
        touch()
    before = pages()
    for _ in range(5):
        touch()
    print(pages() - before)

thread = threading.Thread(target=work)
if sys.argv[1] == "before":
    thread.start()
    began.wait()
keep_memory()
kept.set()
if sys.argv[1] == "after":
    thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
@pytest.mark.parametrize("begun", ["before", "after"])
def test_freed_memory_is_not_asked_for_anew(begun):
    command = [sys.executable, "-c", PROBE, begun]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    anew = int(result.stdout)
    assert anew < 5 * (92 << 8) / 20  # 256 pages a megabyte, and less than a twentieth of them
