"""The bag room's one error, and what is refused in both directions."""

from pathlib import Path


class BagError(ValueError):
    """A bag, or what is to become one, is not what was expected; the text names both."""


def refuse_uri_signs(path: Path) -> None:
    """Raise BagError for the path of an SQLite bag that would be opened as another one.

    rosbags hands it to SQLite as a URI, in which these signs mean something.
    """
    if any(sign in str(path.absolute()) for sign in "#?%"):
        raise BagError(f"{path}: expected a path without #, ? and % for a bag of SQLite")
