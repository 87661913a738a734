"""Headers written bit by bit."""


class Bits:
    """Writes what BitReader reads."""

    def __init__(self):
        self.text = ""

    def u(self, count, value=0):
        self.text += format(value, f"0{count}b") if count else ""
        return self

    def ue(self, *values):
        for value in values:
            code = format(value + 1, "b")
            self.text += "0" * (len(code) - 1) + code
        return self

    def se(self, *values):
        return self.ue(*(2 * value - 1 if value > 0 else -2 * value for value in values))

    def end(self):
        """Close with the stop bit, and fill the last byte up."""
        text = self.text + "1"
        return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def escape(data):
    """Put the bytes in that prevent a start code (H.264 7.4.1.1)."""
    out = b""
    for byte in data:
        if byte <= 3 and out.endswith(b"\x00\x00"):
            out += b"\x03"
        out += bytes([byte])
    return out
