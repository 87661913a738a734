"""Reading the fields of a message from its CDR bytes (OMG DDSI-RTPS 10.5, plain CDR)."""

from __future__ import annotations

import struct

from twnet_ros.bag.error import BagError

_SIZES = {"bool": ("?", 1), "uint8": ("B", 1), "int32": ("i", 4), "uint32": ("I", 4)}
_SIZES["uint64"] = ("Q", 8)
_ENCAPSULATION_BYTES = 4


class Reader:
    """Reads field after field; BagError where the bytes end before or make no sense."""

    def __init__(self, raw: bytes) -> None:
        if len(raw) < _ENCAPSULATION_BYTES or raw[0] or raw[1] > 1:
            raise BagError(f"expected a message in CDR, got one that begins {raw[:4].hex()!r}")
        self._order = "<" if raw[1] else ">"
        self._raw = memoryview(raw)[_ENCAPSULATION_BYTES:]
        self._place = 0

    def number(self, kind: str) -> int:
        """Read a number, aligned to its own size."""
        code, size = _SIZES[kind]
        self._place = -(-self._place // size) * size
        (value,) = struct.unpack(self._order + code, self._take(size))
        return int(value)

    def octets(self) -> bytes:
        """Read a uint8[]."""
        return bytes(self._take(self.number("uint32")))

    def text(self) -> str:
        """Read a string, which ends with a zero."""
        data = self.octets()
        try:
            return data.removesuffix(b"\x00").decode()
        except UnicodeDecodeError as error:
            raise BagError(f"expected a text in UTF-8, got {data[:20]!r}") from error

    def time_ns(self) -> int:
        """Read a builtin_interfaces/Time as nanoseconds."""
        return self.number("int32") * 1_000_000_000 + self.number("uint32")

    def header_ns(self) -> int:
        """Read a std_msgs/Header and return its stamp in nanoseconds."""
        stamp_ns = self.time_ns()
        self.text()
        return stamp_ns

    def _take(self, size: int) -> memoryview:
        taken = self._raw[self._place : self._place + size]
        if len(taken) < size:
            raise BagError(
                f"expected a whole message, got {len(self._raw)} bytes where "
                f"{self._place + size} are needed"
            )
        self._place += size
        return taken
