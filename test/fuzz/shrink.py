"""Making a finding smaller while it stays one."""

from collections.abc import Callable

from sample import CHUNK, PACKET, Step

Steps = list[Step]


def shrink(steps: Steps, fails: Callable[[Steps], bool], tries: int) -> Steps:
    """Leave out steps, then the units of each, then bytes at the end of each."""
    left = [tries]

    def still(smaller: Steps) -> bool:
        left[0] -= 1
        return left[0] >= 0 and fails(smaller)

    size = len(steps) // 2
    while size:
        at = 0
        while at < len(steps):
            smaller = steps[:at] + steps[at + size :]
            if still(smaller):
                steps = smaller
            else:
                at += size
        size //= 2
    for at in range(len(steps)):
        kind, data = steps[at]
        if kind in (PACKET, CHUNK):
            for pieces in (_units, _halves):
                for smaller_data in pieces(data):
                    if len(smaller_data) < len(steps[at][1]):
                        smaller = [*steps[:at], (kind, smaller_data), *steps[at + 1 :]]
                        if still(smaller):
                            steps = smaller
    return steps


def _units(data: bytes) -> list[bytes]:
    parts = data.split(b"\x00\x00\x01")
    return [b"\x00\x00\x01".join(parts[:at] + parts[at + 1 :]) for at in range(1, len(parts))][:32]


def _halves(data: bytes) -> list[bytes]:
    return [data[: len(data) * eighths // 8] for eighths in (1, 2, 4, 6, 7)]
