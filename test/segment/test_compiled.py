"""Loops that numba compiles, where what was compiled can be kept and where it cannot."""

import logging
import math

from numba.core import caching

from twnet_ros.segment.compiled import _say_not_kept, compiled


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
