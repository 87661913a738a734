"""Damage packets of both codecs by the thousand and have the intake take them in.

    python test/fuzz/fuzz_intake.py --packets 100000 --seed 0
    python test/fuzz/fuzz_intake.py --replay build/fuzz/h264_hang_0_17.steps

Every packet has to decode or to raise CodecError within a second of processor time, and the sound
packets after it have to come out as if nothing had happened. Streams are taken in by processes of
their own, so that one that dies or hangs is a finding like any other. Each finding is made smaller
and written to a file; the summary is the last line, as JSON, and the exit status tells whether
there was one.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import resource
import signal
import statistics
import sys
import time
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from sample import CODECS, Step, codec_of, load, save
from session import LIMIT_S, Count, Finding, Material, make_case, rss_mb, run_case
from shrink import shrink
from tqdm import tqdm

# Streams that a process takes in between two looks at its memory.
BLOCK = 4
# Far more than pictures of a size that is accepted need.
MEMORY_BYTES = 6 << 30
# From the first third of a run to the last; pools fill by up to 42 MB, then stay.
GROWTH_MB = 80.0
FEWEST_SAMPLES = 12
SHRINK_TRIES = 400
SHRINK_TRIES_DEAD = 40  # where each try costs a process
ALONE_S = 60.0
FINDINGS_KEPT = 200

_PROCESSES = multiprocessing.get_context("spawn")


def main() -> int:
    """Run the command."""
    made = argparse.ArgumentParser(description=__doc__.split("\n\n")[0].strip())
    made.add_argument("--packets", type=int, default=100_000, help="changed packets to send")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--jobs", type=int, default=1, help="processes")
    made.add_argument("--findings", type=Path, default=Path("build/fuzz"), metavar="DIR")
    made.add_argument("--replay", type=Path, nargs="+", metavar="FILE", help="these streams only")
    options = made.parse_args()
    signal.signal(signal.SIGPROF, _too_long)  # here, where findings are made smaller
    if options.replay:
        summary = replay(options.replay)
    else:
        summary = Run(options.seed, options.packets, options.jobs, options.findings).summary()
    print(json.dumps(summary))
    return 1 if summary["findings"] else 0


def replay(files: list[Path]) -> dict[str, Any]:
    """Take recorded streams in; one that crashes or hangs ends the command."""
    material, found = Material(), {}
    for file in tqdm(files, unit="stream", disable=None):
        if kind := _outcome(material, codec_of(file), load(file)):
            found[file.name] = kind
    return {"streams": len(files), "findings": found}


class Run:
    """Cases on several processes, until enough packets have been sent."""

    def __init__(self, seed: int, packets: int, jobs: int, findings: Path) -> None:
        self._seed, self._packets, self._directory = seed, packets, findings
        self._cases = itertools.count()
        self._counts = {codec: Count() for codec in CODECS}
        self._found: dict[str, int] = {}
        self._memory: list[list[float]] = [[] for _ in range(jobs)]
        self._material = Material()
        started = time.monotonic()
        with tqdm(total=packets, unit="packet", smoothing=0, disable=None) as self._progress:
            self._work(jobs)
        self._seconds = time.monotonic() - started

    def _work(self, jobs: int) -> None:
        """Have processes work until enough is done; one that dies is replaced."""
        running: dict[Connection, tuple[int, Any]] = {}
        for job in range(jobs):
            self._start(running, job, self._block())
        at: dict[Connection, int] = {}
        left: dict[Connection, list[int]] = {}
        while running:
            for mine in wait(list(running)):
                job, process = running[mine]
                try:
                    what, number, value = mine.recv()
                except EOFError:
                    process.join()
                    del running[mine]
                    if process.exitcode:
                        self._keep(at[mine], death(process.exitcode), "")
                        self._start(running, job, left[mine] or self._block())
                    continue
                if what == "begin":
                    at[mine], left[mine] = number, value
                elif what == "end":
                    self._progress.update(value.mutated)
                    self._counts[CODECS[number % 2]].add(value)
                elif what == "finding":
                    self._keep(number, *value)
                else:
                    self._memory[job].append(value)
                    mine.send(self._block())

    def _block(self) -> list[int]:
        enough = sum(count.mutated for count in self._counts.values()) >= self._packets
        return [] if enough else [next(self._cases) for _ in range(BLOCK)]

    def _start(self, running: dict[Connection, tuple[int, Any]], job: int, cases: Any) -> None:
        mine, theirs = _PROCESSES.Pipe()
        process = _PROCESSES.Process(target=work, args=(theirs, self._seed), daemon=True)
        process.start()
        theirs.close()
        running[mine] = (job, process)
        mine.send(cases)

    def _keep(self, number: int, kind: str, message: str) -> None:
        """Make a finding smaller and write it down."""
        self._found[kind] = self._found.get(kind, 0) + 1
        if sum(self._found.values()) > FINDINGS_KEPT:
            return
        codec, steps, _ = make_case(self._material, self._seed, number)
        dead = kind.startswith(("hang", "crash"))
        smaller = shrink(
            steps,
            lambda some: outcome(self._material, codec, some, alone=dead) == kind,
            SHRINK_TRIES_DEAD if dead else SHRINK_TRIES,
        )
        self._directory.mkdir(parents=True, exist_ok=True)
        name = f"{codec}_{kind.replace(' ', '_')}_{self._seed}_{number}.steps"
        save(self._directory / name, smaller)
        self._progress.write(f"{self._directory / name}: {message or kind}", file=sys.stderr)

    def summary(self) -> dict[str, Any]:
        """Return what came of it all."""
        thirds = [_thirds(job) for job in self._memory if len(job) >= FEWEST_SAMPLES]
        growth = sum(end - start > GROWTH_MB for start, _, end in thirds)
        if growth:
            self._found["memory growth"] = growth
        return {
            "seed": self._seed,
            **{codec: asdict(count) for codec, count in self._counts.items()},
            "rss_mb": [
                dict(zip(("start", "middle", "end"), map(round, medians), strict=True))
                for medians in thirds
            ],
            "seconds": round(self._seconds, 1),
            "findings": self._found,
        }


def _thirds(samples: list[float]) -> list[float]:
    """Return the medians of the first, the second and the last third."""
    size = len(samples) // 3
    return [statistics.median(samples[at * size : (at + 1) * size]) for at in range(3)]


def work(connection: Connection, seed: int) -> None:
    """Take in the cases whose numbers come over a connection, until none come."""
    _limit()
    material = Material()
    while numbers := connection.recv():
        for position, number in enumerate(numbers):
            connection.send(("begin", number, numbers[position + 1 :]))
            codec, steps, mutated = make_case(material, seed, number)
            try:
                count = run_case(material, codec, steps)
                count.mutated = mutated
                connection.send(("end", number, count))
            except Exception as error:
                connection.send(("finding", number, (kind_of(error), str(error))))
        connection.send(("memory", -1, rss_mb()))


def outcome(material: Material, codec: str, steps: list[Step], *, alone: bool) -> str:
    """Return what kind of finding a stream is, '' if none; ``alone`` in a process of its own."""
    if not alone:
        return _outcome(material, codec, steps)
    mine, theirs = _PROCESSES.Pipe(duplex=False)
    process = _PROCESSES.Process(target=_report, args=(theirs, codec, steps), daemon=True)
    process.start()
    theirs.close()
    try:
        kind: str = mine.recv() if mine.poll(ALONE_S) else "hang"
    except EOFError:
        process.join()
        kind = death(process.exitcode or 0)
    process.kill()
    process.join()
    return kind


def death(status: int) -> str:
    """Name what a process died of."""
    if status == -signal.SIGPROF:
        return "hang"
    return f"crash {signal.Signals(-status).name}" if status < 0 else f"crash {status}"


def kind_of(error: Exception) -> str:
    """Name what was raised."""
    return error.kind if isinstance(error, Finding) else type(error).__name__


def _report(connection: Connection, codec: str, steps: list[Step]) -> None:
    _limit()
    connection.send(_outcome(Material(), codec, steps))


def _outcome(material: Material, codec: str, steps: list[Step]) -> str:
    try:
        run_case(material, codec, steps)
    except Exception as error:
        return kind_of(error)
    return ""


def _too_long(*_: object) -> None:
    raise Finding("hang", f"more than {LIMIT_S} s of processor time")


def _limit() -> None:
    """Bound a process' memory, and have the watch of ``session`` end it."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["OMP_NUM_THREADS"] = "1"


if __name__ == "__main__":
    sys.exit(main())
