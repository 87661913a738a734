"""Keeping what the network needs of the processor's memory."""

import ctypes

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8  # of glibc's mallopt(3)
HEAP_BYTES = 64 * 2**20  # of a thread's heap in glibc (HEAP_MAX_SIZE)


def keep_memory() -> None:
    """Have this process keep the memory that it frees, from now on.

    Every step frees its features and asks for as much again. By default glibc gives blocks of that
    size back to the system each time, and the system hands out pages one by one, zeroed: at
    2048x1024 a third of a key step's time and half of a non-key step's. Where the C library is not
    glibc, nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(MMAP_MAX, 0)  # no block is a mapping of its own, to be unmapped when it is freed
    mallopt(TRIM_THRESHOLD, -1)  # what is free at the end of the heap stays
    mallopt(ARENA_MAX, 1)  # the heaps of other threads than the first are too small for this
    mallopt(TOP_PAD, HEAP_BYTES)  # and those that there are already stay when they are empty
