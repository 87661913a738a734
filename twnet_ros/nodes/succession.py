"""Whether messages come as they were published, one after the other, as a middleware tells it."""

from collections.abc import Mapping
from typing import Any


class Succession:
    """Follows who publishes a topic's messages, and the number of each among its publisher's.

    Not every middleware numbers messages, nor every rclpy names their publisher: what is not told
    is not known here either.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Expect nothing of the next message."""
        self._publisher: bytes | None = None  # of the message before
        self._number: int | None = None
        self.blind = False  # a message has come, and the next one cannot tell all since then

    def follow(self, info: Mapping[str, Any]) -> tuple[bool, int]:
        """Take in what rclpy says of the next message.

        Returns whether it is of another publisher than the one before, and else how many of its
        publisher's are missing between the two.
        """
        gid = info.get("publisher_gid")
        publisher = gid["data"] if gid else None
        number = info.get("publication_sequence_number") or None
        before, self._publisher = self._publisher, publisher
        last, self._number = self._number, number
        self.blind = publisher is None or number is None
        if before and publisher and before != publisher:
            return True, 0
        if last is None or number is None:
            return False, 0
        # Each publisher counts up: where a number goes back, it is another's.
        return number <= last, max(number - last - 1, 0)
