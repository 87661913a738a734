"""The ``twnet`` command, a file for each of its sub-commands."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from twnet_ros.cli import (
    bag,
    benchmark,
    chaos,
    demo,
    encode,
    evaluate,
    inspect,
    segment,
    streets,
    train,
    view,
)

COMMANDS = (
    encode,
    inspect,
    segment,
    view,
    bag,
    chaos,
    streets,
    train,
    evaluate,
    benchmark,
    demo,
)


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    root = argparse.ArgumentParser(prog="twnet", description="Label compressed video.")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for sub in COMMANDS:
        sub.describe(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; errors of input are one line on standard error and exit status 1."""
    logging.basicConfig(format="twnet: %(message)s")
    try:
        options = parser().parse_args(arguments)
        options.function(options)
    except BrokenPipeError:  # who reads what is printed has seen enough, as ``head`` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError, ImportError) as error:  # every room's own errors are ValueErrors
        print(f"twnet: {_text(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("twnet: interrupted; finished files are whole", file=sys.stderr)
        return 130
    return 0


def _text(error: Exception) -> str:
    """Return what an error says; of one from a loader's process torch tells its trace, too."""
    text = str(error).strip()
    if not text.startswith("Caught "):
        return text
    return text.splitlines()[-1].partition(": ")[2]
