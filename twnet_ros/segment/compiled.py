"""Loops that numba compiles."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

from numba import njit

logger = logging.getLogger(__name__)

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(loop: Loop, **options: Any) -> Loop:
    """Have a loop compiled when it is first called; it runs without the interpreter's lock.

    What was compiled is kept for the next process. Where numba can write nowhere, as on a
    read-only file system without a home, each compiles it anew, and the log says so.
    """
    try:
        return cast(Loop, njit(cache=True, nogil=True, **options)(loop))
    except RuntimeError:  # numba found no place
        _say_not_kept()
        return cast(Loop, njit(nogil=True, **options)(loop))


@cache
def _say_not_kept() -> None:
    logger.warning(
        "compiled loops cannot be kept, and each start takes seconds longer: numba can write "
        "neither beside the package nor in a home; set NUMBA_CACHE_DIR to a folder where it can"
    )
