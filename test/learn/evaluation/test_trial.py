"""How far frames are from the key step before them."""

from hypothesis import given
from hypothesis import strategies as st

from twnet_ros.learn.evaluation.trial import key_distances


def test_of_every_frame():
    assert key_distances([0, 3], 5) == [0, 1, 2, 0, 1]
    assert key_distances([2], 5) == [0, 1, 0, 1, 2]
    assert key_distances([], 3) == [0, 1, 2]


def test_a_key_step_waits_for_the_next_frame_that_is_labelled():
    found = key_distances([0, 12, 24], 30, 5)
    assert [found[number] for number in range(0, 30, 5)] == [0, 5, 10, 0, 5, 0]


@given(st.sets(st.integers(0, 40)), st.integers(1, 41), st.integers(1, 7))
def test_as_the_engine_does_it(keys, length, every):
    expected, since, due = {}, 0, True
    for number in range(length):
        due |= number in keys
        if number % every == 0:
            since, due = (number, False) if due else (since, due)
            expected[number] = number - since
    found = key_distances(keys, length, every)
    assert len(found) == length
    assert {number: found[number] for number in expected} == expected
