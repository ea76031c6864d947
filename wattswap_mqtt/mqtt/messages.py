"""Messages, and those with QoS 1 that wait for their turn."""

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True)
class Message:
    """A message that came, or a Last Will.  The payload is whatever was sent, valid or not."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class MessageQueue:
    """Messages that wait, in order: all retained topics, the latest of each, and at most `most` that are not retained.

    So it is bounded, and yet everything retained gets through, however many meters there are.
    """

    def __init__(self, most: int) -> None:
        """Begin with nothing."""
        self.replaced = 0
        """Retained messages that gave way to a later one of their topic."""
        self._most = most
        self._count = 0
        self._passing = 0
        self._waiting: OrderedDict[str | int, Message] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Message) -> bool:
        """Queue a message, in the place of one that it replaces; return False if there is no room."""
        self._count += 1
        if message.retain:
            self.replaced += message.topic in self._waiting
            self._waiting[message.topic] = message
        elif self._passing < self._most:
            self._passing += 1
            self._waiting[self._count] = message
        else:
            return False
        return True

    def take(self) -> Message:
        """Return the message that waits longest."""
        message = self._waiting.popitem(last=False)[1]
        self._passing -= not message.retain
        return message

    def clear(self) -> list[Message]:
        """Forget everything, and return it."""
        waiting = list(self._waiting.values())
        self._waiting.clear()
        self._passing = 0
        return waiting
