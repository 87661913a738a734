"""When a frame takes the key step although it could go on from the last one."""

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Bounds beyond which a predicted frame takes the key step.

    Without any only I-frames do, and frames that nothing leads to: the paper's policy.
    """

    interval: int | None = None  # labelled frames from one key step to the next
    intra: float = 1.0  # share of blocks that have no vector
    residual: float = math.inf  # mean magnitude of the luma residual, 8-bit levels

    def is_due(self, since: int) -> bool:
        """Tell whether the frame that is labelled so many after the last key step takes one.

        Those that are skipped do not count: a machine that is short has no more key steps for it.
        """
        return self.interval is not None and since >= self.interval

    def sees_another(self, intra: float, residual: Tensor) -> bool:
        """Tell whether a frame is another picture than the one that its motion leads to.

        ``intra`` is the share of blocks without a vector, ``residual`` (1, 3, h, w) as
        ``residual_magnitude`` returns it. Such a frame takes the key step, and nothing goes on.
        """
        return (
            intra > self.intra
            # On a GPU this waits for the residual: only where it is asked for.
            or (self.residual < math.inf and float(residual[:, 0].mean()) > self.residual)
        )


CODEC_KEYS = KeyPolicy()
KEY_POLICIES = ("codec", "interval", "adaptive")
# Measured (docs/TUNING.md). Frames of a smooth drive stay far below the last two (0.15 and 6 at
# most), those of cuts, flashes and tunnels above them (0.57 and 25 at least).
INTERVAL, INTRA, RESIDUAL = 6, 0.5, 12.0


def key_policy(
    name: str = "adaptive",
    interval: int = INTERVAL,
    intra: float = INTRA,
    residual: float = RESIDUAL,
) -> KeyPolicy:
    """Return one of KEY_POLICIES.

    ``codec``: I-frames alone; ``interval``: also after so many labelled frames, or where more than
    a share ``intra`` of the blocks has no vector; ``adaptive``: also where the mean luma residual
    is above ``residual``, in 8-bit levels.
    """
    if name not in KEY_POLICIES:
        raise ValueError(f"key_policy: expected one of {', '.join(KEY_POLICIES)}, got {name!r}")
    if name == "codec":
        return CODEC_KEYS
    if name == "interval":
        return KeyPolicy(interval=interval, intra=intra)
    return KeyPolicy(interval, intra, residual)


USUAL_KEYS = key_policy()  # of whatever is not told otherwise
