"""The bag room's one error."""


class BagError(ValueError):
    """A bag, or what is to become one, is not what was expected; the text names both."""
