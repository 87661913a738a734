"""Reading the bits of a header, most significant first."""

from __future__ import annotations

from twnet_ros.codec.error import CodecError

_LONGEST_PREFIX = 32  # zeros in front of an Exp-Golomb code


class BitReader:
    """Reads a header bit by bit; CodecError where it ends too early."""

    def __init__(self, data: bytes) -> None:
        self._bytes = len(data)
        self._bits = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def read(self, count: int) -> int:
        """Return the next ``count`` bits as an unsigned number, u(n)."""
        if count > self._left:
            raise CodecError(
                f"expected a whole header, got one that ends after {self._bytes} bytes"
            )
        self._left -= count
        return self._bits >> self._left & (1 << count) - 1

    def flag(self) -> bool:
        """Return the next bit, u(1)."""
        return bool(self.read(1))

    def unsigned(self) -> int:
        """Return the next unsigned Exp-Golomb code, ue(v) of H.264 clause 9.1."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > _LONGEST_PREFIX:
                raise CodecError("expected an Exp-Golomb code of up to 32 bits, got a longer one")
        return (1 << zeros) - 1 + self.read(zeros)

    def signed(self) -> int:
        """Return the next signed Exp-Golomb code, se(v) of H.264 clause 9.1.1."""
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)
