"""The soak, for a few seconds: what it counts follows from what it lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

from twnet_ros.codec import write_clip

GOP = 6


def test_a_short_round_holds(pan_over, tmp_path):
    frames = pan_over(2 * GOP, width=128, height=96, square=8, blur=4)
    write_clip(tmp_path / "clip.mp4", frames, codec="h264", gop=GOP, fps=10.0)
    command = [sys.executable, str(Path(__file__).parent / "soak.py"), str(tmp_path / "clip.mp4")]
    command += ["--minutes", "0.1", "--rate", "10", "--loss", "0.1", "--seed", "3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["held"] and done.returncode == 0, summary
    assert summary["packets"] == 60
    assert summary["lost"] > 3 and summary["withheld"] > 3
    counted = sum(summary[name] for name in ("lost", "labelled", "withheld", "skipped"))
    assert counted + summary["unseen"] == summary["packets"]
