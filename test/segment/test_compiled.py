"""Loops that numba compiles, where what was compiled can be kept and where it cannot."""

import logging

from numba.core import caching

from twnet_ros.segment.compiled import _say_not_kept, compiled


def doubled(x):
    return 2 * x


def halved(x):
    return x / 2


def test_where_nothing_can_be_kept_loops_are_compiled_all_the_same(monkeypatch, caplog):
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    _say_not_kept.cache_clear()
    with caplog.at_level(logging.WARNING):
        twice, half = compiled(doubled), compiled(halved)
    assert (twice(3), half(3.0)) == (6, 1.5)
    (said,) = caplog.records
    assert "set NUMBA_CACHE_DIR" in said.getMessage()


def test_where_it_can_nothing_is_said(caplog):
    assert compiled(doubled)(4) == 8
    assert not caplog.records
