"""What a middleware tells of messages that are missing, and of publishers that change."""

import pytest

from twnet_ros.nodes.succession import Succession


def told(number, publisher):
    """What rclpy says of a message; None is what is not told."""
    gid = publisher and {"implementation_identifier": "rmw", "data": publisher.encode()}
    return {"publication_sequence_number": number, "publisher_gid": gid}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([(5, "a"), (6, "a"), (7, "a")], [(False, 0)] * 3),
        ([(5, "a"), (8, "a"), (9, "a")], [(False, 0), (False, 2), (False, 0)]),
        ([(5, "a"), (6, "b"), (7, "a")], [(False, 0), (True, 0), (True, 0)]),
        ([(5, "a"), (1, "a"), (2, "a")], [(False, 0), (True, 0), (False, 0)]),
        ([(5, None), (6, None), (8, None)], [(False, 0), (False, 0), (False, 1)]),
        ([(5, None), (1, None), (2, None)], [(False, 0), (True, 0), (False, 0)]),
        ([(None, "a"), (None, "a"), (None, "b")], [(False, 0), (False, 0), (True, 0)]),
        ([(None, None)] * 3, [(False, 0)] * 3),
        ([(0, "a")] * 3, [(False, 0)] * 3),  # of a middleware that counts nothing
    ],
)
def test_what_is_missing_and_who_is_another(messages, expected):
    succession = Succession()
    assert [succession.follow(told(*message)) for message in messages] == expected


@pytest.mark.parametrize("publisher", ["a", None])
@pytest.mark.parametrize("number", [5, None])
def test_it_is_blind_unless_both_are_told(number, publisher):
    succession = Succession()
    assert not succession.blind
    succession.follow(told(number, publisher))
    assert succession.blind == (number is None or publisher is None)
    succession.forget()
    assert not succession.blind


def test_what_is_forgotten_is_not_compared():
    succession = Succession()
    succession.follow(told(5, "a"))
    succession.forget()
    assert succession.follow(told(9, "b")) == (False, 0)


def test_older_versions_of_rclpy_tell_of_no_publisher():
    succession = Succession()
    found = [succession.follow({"publication_sequence_number": n}) for n in (1, 2, 4)]
    assert found == [(False, 0), (False, 0), (False, 1)]
