"""Commands that wait, and which of them are next: one client's flood does not hold up the meters of others."""

from collections import Counter
from collections.abc import Callable

from wattswap_mqtt.mqtt import Message


class Inbox:
    """Messages in the order in which they came; `meter_of` says which meter a topic is about, if any."""

    def __init__(self, meter_of: Callable[[str], str | None]) -> None:
        self._meter_of = meter_of
        self._waiting: list[tuple[str | None, Message]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, message: Message) -> None:
        """Let a message wait."""
        self._waiting.append((self._meter_of(message.topic), message))

    def take(self, most: int) -> list[Message]:
        """Return the messages that are next, `most` at most, in the order in which they came.

        If more are waiting each meter has its turn: first the oldest message of each, then the second of each, and so
        on.  So those of one meter are always taken in their order, and it is only others that they let pass.
        """
        turns: Counter[str | None] = Counter()
        turn = []
        for meter, _ in self._waiting:
            turn.append(turns[meter])
            turns[meter] += 1
        next_ones = set(sorted(range(len(turn)), key=turn.__getitem__)[:most])
        taken = [message for number, (_, message) in enumerate(self._waiting) if number in next_ones]
        self._waiting = [waiting for number, waiting in enumerate(self._waiting) if number not in next_ones]
        return taken
