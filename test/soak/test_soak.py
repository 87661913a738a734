"""The soak, for a few seconds: what it counts follows from what it lost."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from twnet_ros.codec import write_clip
from twnet_ros.msg import FrameStatus

GOP = 6
SOAK = Path(__file__).parent / "soak.py"


def test_a_short_round_holds(pan_over, model, tmp_path):
    frames = pan_over(2 * GOP, width=128, height=96, square=8, blur=4)
    write_clip(tmp_path / "clip.mp4", frames, codec="h264", gop=GOP, fps=10.0)
    command = [sys.executable, str(SOAK), str(tmp_path / "clip.mp4")]
    command += ["--minutes", "0.1", "--rate", "10", "--loss", "0.1", "--seed", "3"]
    command += ["--model", str(model)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["held"] and done.returncode == 0, summary
    assert summary["packets"] == 60
    assert summary["lost"] > 3 and summary["withheld"] > 3
    counted = sum(summary[name] for name in ("lost", "labelled", "withheld", "skipped"))
    assert counted + summary["unseen"] == summary["packets"]


@pytest.mark.parametrize(
    ("rss_mb", "held"), [([500.0, 600.0, 606.0], True), ([600.0, 600.0, 620.0], False)]
)
def test_memory_that_grows_after_it_has_settled_is_a_fault(rss_mb, held, monkeypatch):
    spec = importlib.util.spec_from_file_location("soak", SOAK)
    soak = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "soak", soak)  # where its dataclasses look for themselves
    spec.loader.exec_module(soak)
    status = FrameStatus(path=FrameStatus.PATH_KEY)
    sent = {1: soak.Sent(whole=True, key=True, status=status, labelled=True)}
    watched = SimpleNamespace(sent=sent, lost=0, answered=True)
    assert soak.summarise(watched, rss_mb)["held"] is held
