"""Frame rates: what an encoder takes, and what the times of pictures tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NTSC = 1001  # the denominator of its rates, and the largest there is
LEAST_FPS = 1 / NTSC
MOST_FPS = 65535  # MPEG-4's vop_time_increment_resolution has 16 bits (6.3.3)


def usual_rate(times_ns: Sequence[int], otherwise: float) -> float:
    """Return the frame rate (Hz) of pictures at times in any order, as far as an encoder takes it.

    It is that of the mean step between them, without gaps, as of pictures that were lost;
    ``otherwise`` where there is no step.
    """
    steps = np.diff(np.sort(np.asarray(times_ns, np.int64)))
    steps = steps[steps > 0]
    if len(steps):
        otherwise = round(1e9 / float(steps[steps <= 1.5 * np.median(steps)].mean()), 3)
    return min(max(otherwise, LEAST_FPS), MOST_FPS)
