"""The codec room's one error."""


class CodecError(ValueError):
    """A packet, stream or file is not what was expected; the text names both."""
