"""Bands of rows, a thread each."""

import multiprocessing

import pytest
import torch

from twnet_ros.segment.band import over_bands


@pytest.fixture
def threads():
    """Give torch three threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def rows_seen(rows):
    seen = []
    over_bands(rows, lambda first, last: seen.extend(range(first, last)))
    return sorted(seen)


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 100])
def test_every_row_is_in_one_band(threads, rows):
    assert rows_seen(rows) == list(range(rows))


def test_what_a_band_raises_is_raised(threads):
    with pytest.raises(ZeroDivisionError):
        over_bands(9, lambda first, last: 1 // (int(first) - 3))


def _send_rows(connection):
    connection.send(rows_seen(7))


def test_a_forked_process_has_threads_of_its_own(threads):
    rows_seen(7)  # this one's threads are there, and wait for work
    fork = multiprocessing.get_context("fork")
    receiving, sending = fork.Pipe(duplex=False)
    child = fork.Process(target=_send_rows, args=(sending,))
    child.start()
    try:
        assert receiving.poll(60)
        assert receiving.recv() == list(range(7))
    finally:
        child.kill()
        child.join()
