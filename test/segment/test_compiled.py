"""Loops that numba compiles, where what was compiled can be kept and where it cannot."""

import logging
import math
import subprocess
import sys

from numba.core import caching

from twnet_ros.segment.compiled import _say_not_kept, compiled

# Prints how many variants of loops there are after loading a model, and after two frames.
COUNT = """
from twnet_ros.segment import Segmenter, compensation, confidence, fusion, output, resampling
rooms = compensation, confidence, fusion, output, resampling
loops = {one for room in rooms for one in vars(room).values() if hasattr(one, "signatures")}
segmenter = Segmenter.load("streets-mobilenetv1-layer1", "cpu", "fp32", (96, 64))
print(sum(len(one.signatures) for one in loops))
segmenter.warm_up((192, 128))
print(sum(len(one.signatures) for one in loops))
"""


def doubled(x):
    return 2 * x


def inverse_of(x):
    return 6.0 / x


def test_where_nothing_can_be_kept_loops_are_compiled_all_the_same(monkeypatch, caplog):
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    _say_not_kept.cache_clear()
    with caplog.at_level(logging.WARNING):
        twice, part = compiled(doubled), compiled(inverse_of, error_model="numpy")
    assert (twice(3), part(3.0), part(0.0)) == (6, 2.0, math.inf)
    (said,) = caplog.records
    assert "set NUMBA_CACHE_DIR" in said.getMessage()


def test_where_it_can_nothing_is_said(caplog):
    assert compiled(doubled)(4) == 8
    assert not caplog.records


def test_nothing_is_left_to_be_compiled_with_the_first_frames():
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded, used = map(int, done.stdout.split())
    assert loaded == used > 5
