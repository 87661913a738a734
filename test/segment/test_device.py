"""How many threads a step runs on where several streams share them."""

import threading

import pytest
import torch

from twnet_ros.segment.device import share_threads


@pytest.fixture(autouse=True)
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("streams, share", [(1, 4), (2, 2), (3, 1), (9, 1)])
def test_each_stream_has_its_share_at_least_one(streams, share):
    share_threads(streams)
    found = []
    stream = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    stream.start()
    stream.join()
    assert found == [torch.get_num_threads()] == [share]
