"""Files that appear whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a path to write to; what is there in the end takes the place of ``path``.

    If anything fails meanwhile, that stays as it was.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.errno is not None and not error.filename:
            error.filename = str(path)  # which that of a full disk does not name
        raise
    finally:
        temporary.unlink(missing_ok=True)
