"""What once went wrong stays right, and a short round of the fuzzer finds nothing."""

import json
import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).parent
CORPUS = sorted((FUZZ / "corpus").glob("*.steps"))


def fuzz(*arguments):
    command = [sys.executable, str(FUZZ / "fuzz_intake.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_the_corpus_comes_through():
    assert len(CORPUS) > 20
    status, summary = fuzz("--replay", *CORPUS)
    assert (status, summary["findings"]) == (0, {})
    assert summary["streams"] == len(CORPUS)


def test_a_short_round_finds_nothing(tmp_path):
    status, summary = fuzz("--packets", 2000, "--seed", 0, "--findings", tmp_path)
    assert (status, summary["findings"], list(tmp_path.iterdir())) == (0, {}, [])
    codecs = [summary[codec] for codec in ("h264", "mpeg4")]
    assert sum(counted["mutated"] for counted in codecs) >= 2000
    for counted in codecs:  # bad enough, and not so bad that nothing is decoded
        assert counted["errors"] > 250
        assert counted["frames"] > 250
        assert counted["recoveries"] > 100
