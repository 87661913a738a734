"""Work on bands of rows, a thread each."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

_POOL = ThreadPoolExecutor(thread_name_prefix="band")


def _renew() -> None:
    global _POOL
    _POOL = ThreadPoolExecutor(thread_name_prefix="band")


# A process that loads training data is forked, without the threads that the pool believes it has.
os.register_at_fork(after_in_child=_renew)


def over_bands(rows: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(first, last)`` on as many bands of rows as torch has threads, at once.

    The threads are Python's: a second pool of OpenMP threads beside torch's would fight with it.
    They stay: every new thread would take a memory arena of its own.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        work(0, rows)
        return
    edges = np.linspace(0, rows, threads + 1).astype(int)
    list(_POOL.map(work, edges[:-1], edges[1:]))
