"""One meter as a client of the broker sees it: commands with their answers, and the states that follow."""

import time
import uuid
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import orjson

from wattswap_mqtt.config import Settings
from wattswap_mqtt.contract.answers import Ack, decode_ack
from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.core.errors import BrokerError, WattSwapError
from wattswap_mqtt.mqtt import Connection, Message

PATIENCE_S = 5.0

Json = Mapping[str, Any]


class RemoteMeter:
    """A connection to the broker of `settings`, and what came in on the topics of one meter."""

    def __init__(self, settings: Settings, meter_id: str) -> None:
        self._topics = Topics(settings.base_topic, settings.discovery_prefix)
        self._meter_id = meter_id
        self._state = self._topics.state(meter_id)
        self._truth = self._topics.truth(meter_id)
        self._ack = self._topics.ack(meter_id)
        self._status = self._topics.community_status(settings.community)
        self._latest: dict[str, Json] = {}
        self._acks: dict[str, Ack] = {}
        self._where = str(settings.broker_address)
        self._connection = Connection(
            settings.broker_address,
            f"wattswap-client-{uuid.uuid4().hex[:8]}",
            subscriptions=[(self._ack, 1), (self._status, 0), (self._state, 0), (self._truth, 0)],
            on_message=self._on_message,
            on_connect=lambda: None,
        )

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            BrokerError: nobody is there in time.

        """
        try:
            self._wait_for(
                lambda: self._connection.connected, lambda: BrokerError(f"no broker answers at {self._where}")
            )
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say goodbye."""
        self._connection.close()

    def community_status(self) -> Json:
        """Return the latest status of the meter's community."""
        self._wait_for(
            lambda: self._status in self._latest, lambda: WattSwapError(f"no simulator publishes {self._status}")
        )
        return self._latest[self._status]

    def command(self, below: str, value: object) -> object:
        """Send a command that takes a `value`, and return the result in its answer.

        Raises:
            WattSwapError: it was refused, or nobody answered.

        """
        number = uuid.uuid4().hex
        payload = orjson.dumps({"value": value, "id": number})
        self._connection.publish(self._topics.command(self._meter_id, below), payload, qos=1)
        self._wait_for(
            lambda: number in self._acks, lambda: WattSwapError(f"no answer to {below} from {self._meter_id}")
        )
        ack = self._acks.pop(number)
        if ack.status != "ok":
            raise WattSwapError(f"{self._meter_id} refused {below}: {ack.message}")
        return ack.result

    def next_state(self, *, with_truth: bool) -> tuple[Json, Json | None]:
        """Return the next state that is published from now on, and the truth of the same moment if there is one."""
        seen = self._seq(self._state)

        def complete() -> bool:
            state = self._seq(self._state)
            return state > seen and (not with_truth or self._seq(self._truth) == state)

        self._wait_for(complete, lambda: WattSwapError(f"{self._meter_id} publishes no states"))
        return self._latest[self._state], self._latest[self._truth] if with_truth else None

    def _seq(self, topic: str) -> int:
        return int(self._latest[topic]["seq"]) if topic in self._latest else -1

    def _on_message(self, message: Message) -> None:
        if message.topic == self._ack:
            if (ack := decode_ack(message.payload)) is not None:
                self._acks[str(ack.id)] = ack
        elif message.payload:  # an empty one clears what was retained
            self._latest[message.topic] = orjson.loads(message.payload)

    def _wait_for(self, happened: Callable[[], bool], otherwise: Callable[[], WattSwapError]) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not happened():
            rest_s = until_s - time.monotonic()
            if rest_s <= 0:
                raise otherwise()
            self._connection.wait(rest_s)
