"""The ``twnet`` command, a file for each of its sub-commands."""

import argparse
import logging
import os
import select
import signal
import sys
import threading
import traceback
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
ENDING = (signal.SIGTERM, signal.SIGHUP)


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
    on_main_thread = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in ENDING if on_main_thread}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as SIGHUP is under nohup
            signal.signal(number, _terminate)
    try:
        options = parser().parse_args(arguments)
        options.function(options)
        if sys.stdout:  # it may be closed
            sys.stdout.flush()
    except (ValueError, OSError, ImportError) as error:  # every room's own errors are ValueErrors
        if isinstance(error, BrokenPipeError) and _is_closed():
            return 141  # as the shell has it of what SIGPIPE ends
        traceback.clear_frames(error.__traceback__)  # ends progress bars, and their lines
        print(f"twnet: {_text(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        traceback.clear_frames(interrupt.__traceback__)
        print("twnet: interrupted; finished files are whole", file=sys.stderr)
        return 128 + (interrupt.number if isinstance(interrupt, _Terminated) else signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


class _Terminated(KeyboardInterrupt):
    """A signal of ENDING, at which what is half written goes as at Ctrl-C."""

    def __init__(self, number: int) -> None:
        self.number = number


def _terminate(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one would interrupt the clean-up
    raise _Terminated(number)


def _is_closed() -> bool:
    """Tell whether nobody reads what is printed, as behind ``head``; then print no more."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    closed = any(event & select.POLLERR for _, event in output.poll(0))
    if closed:  # or Python tries once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return closed


def _text(error: Exception) -> str:
    """Return what an error says; of one from a loader's process torch tells its trace, too."""
    text = str(error).strip()
    if not text.startswith("Caught "):
        return text
    return text.splitlines()[-1].partition(": ")[2] or text
