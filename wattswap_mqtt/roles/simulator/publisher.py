"""The device's outgoing half: what is published when.

Two kinds of retained topics come and go: the truth while a fault is active, and an order until some time after its end.
What the broker holds of them when we connect is what an earlier connection, or process, left: `announce` puts it right.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
import orjson

from wattswap_mqtt import __version__
from wattswap_mqtt.config import Settings
from wattswap_mqtt.contract.answers import Ack, encode_ack, encode_event
from wattswap_mqtt.contract.snapshots import SnapshotEncoder
from wattswap_mqtt.contract.topics import Topics, meter_of_order
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.errors import StorageError
from wattswap_mqtt.core.events import Event
from wattswap_mqtt.core.market.orders import Row
from wattswap_mqtt.core.market.rows import wire_form
from wattswap_mqtt.core.metering import Readings
from wattswap_mqtt.core.moments import iso_utc
from wattswap_mqtt.mqtt import Connection
from wattswap_mqtt.roles.simulator.announcer import Announcer
from wattswap_mqtt.roles.simulator.hub import HubPace, some_of
from wattswap_mqtt.roles.simulator.pace import Pace
from wattswap_mqtt.roles.simulator.persistence import Persistence
from wattswap_mqtt.roles.simulator.summary import market_of, status_of

logger = logging.getLogger(__name__)


class Publisher:
    """Publishes what a community's meters, market and clock have to say."""

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        community: Community,
        connection: Connection,
        persistence: Persistence,
        pace: Pace,
        scenarios: Sequence[str],
    ) -> None:
        self._name = settings.community
        self._most_started = settings.discovery_meters
        self._topics = topics
        self._community = community
        self._connection = connection
        self._persistence = persistence
        self._pace = pace
        self.announcer = Announcer(settings, topics, community, connection, persistence, scenarios)
        self._encoder = SnapshotEncoder(community.ids, settings.tz, __version__)
        self._hub = HubPace(len(community.ids))
        self._boot_id = uuid.uuid4().hex
        self._last_trades: dict[int, object] = {}
        self._told_scenarios = list(community.scenarios)
        self._told_truth: set[int] = set()
        self._told_offline: set[int] = set()
        self._started = False
        self.audience = threading.Event()
        self.audience.set()

    @property
    def unacknowledged(self) -> int:
        """How many messages with QoS 1 the broker does not have yet."""
        return self._connection.unacknowledged

    def announce(self) -> None:
        """Publish everything that is retained; called at each connect, before anything else."""
        topics, meters = self._topics, range(len(self._community.ids))
        for meter_id in self._persistence.gone:
            self._retain(topics.availability(meter_id), b"offline")
        for meter in meters:
            self.switches(meter)
        self._last_trades |= self._community.exchange.last_trades()
        self._told_truth = set(meters)
        self.readings()
        self._told_offline = set(meters)
        for meter in meters:
            self.availability(meter)
        self.community()
        self._retain(topics.community_availability(self._name), b"online")
        self.announcer.announce()
        if not self._started:
            self._started = True
            for meter in meters[: max(self._most_started, 1)]:
                self._community.note("started", meter, boot_id=self._boot_id)
        self._orders_again()  # last: there may be thousands

    def goodbye(self) -> None:
        """Say that the community is gone on purpose."""
        self._retain(self._topics.community_availability(self._name), b"offline")

    def switches(self, meter: int, *, again: bool = True) -> None:
        """Publish a meter's switches and scenario; the scenario only if it has changed or is to be told `again`."""
        meter_id, scenario = self._community.ids[meter], self._community.scenarios[meter]
        self._retain(self._topics.switches(meter_id), orjson.dumps(self._community.switch_values[meter]))
        if again or self._told_scenarios[meter] != scenario:
            self.announcer.offer(meter)  # a scenario that somebody sent: a choice is to be known before it is made
            self._retain(self._topics.scenario(meter_id), scenario.encode())
            self._told_scenarios[meter] = scenario

    def availability(self, meter: int) -> None:
        """Publish whether a meter is available, if that has changed."""
        offline = meter in self._community.meters.faulty and self._community.meters.faulty[meter].offline
        if offline or meter in self._told_offline:
            self._retain(self._topics.availability(self._community.ids[meter]), b"offline" if offline else b"online")
            (self._told_offline.add if offline else self._told_offline.discard)(meter)

    def readings(self, meters: Collection[int] | None = None) -> None:
        """Publish at once what the meters report, all or some."""
        readings, truth = self._community.read(meters)
        self._persistence.keep_ahead()
        self.states(readings, truth, at_once=True)

    def states(self, readings: Readings, truth: Readings | None, *, at_once: bool) -> None:
        """Publish readings to `M/state`, `M/hub` and `M/truth`, as far as the meters' faults let them out.

        `at_once`: they answer a command, so none is dropped, and hubs are told everything.
        """
        faulty = self._community.meters.faulty
        skews = {meter: fault.number("clock_skew_s") for meter, fault in faulty.items()}
        silent = {m for m, fault in faulty.items() if fault.offline or (fault.drops(readings.seq) and not at_once)}
        twice = {m for m, fault in faulty.items() if fault.repeats(readings.seq)} - silent
        meters = readings.meters.tolist()
        if silent:
            readings = some_of(readings, np.array([meter not in silent for meter in meters]))
        told = self._telemetry(self._topics.state, readings, skews)
        if twice:
            again = {self._topics.state(self._community.ids[meter]) for meter in twice}
            self._connection.publish_batch([message for message in told if message[0] in again], retain=True)
        due = self._hub.due(readings, time.monotonic(), at_once=at_once)
        if due is not None:
            self._telemetry(self._topics.hub, due, skews)
        self._truth(meters, truth)

    def orders(self, rows: Iterable[Row]) -> None:
        """Publish orders, given in their stored form."""
        for row in rows:
            topic = self._topics.order(row["meter_id"], row["order_id"])
            self._retain(topic, orjson.dumps(wire_form(row)))

    def clear_ended_orders(self) -> None:
        """Let the broker forget the orders that ended long enough ago, now that it can be told."""
        if self._connection.connected:
            for order_id in self._persistence.take_overdue():
                self._retain(self._topics.order(meter_of_order(order_id) or "", order_id), b"")

    def events(self) -> None:
        """Publish what has happened since the last call; nobody is told of it twice, so it waits for the audience."""
        if not self.audience.is_set():
            return
        for event in self._community.take_events():
            self._event(event)
        for trade in self._community.exchange.tape.take():
            self._connection.publish(self._topics.community_trade(self._name), orjson.dumps(trade), qos=1)

    def answer(self, meter: int, ack: Ack) -> None:
        """Publish the answer to a command."""
        self._connection.publish(self._topics.ack(self._community.ids[meter]), encode_ack(ack), qos=1)

    def community(self) -> None:
        """Publish the community's status and market."""
        status = status_of(self._community, self._pace) | {
            "community": self._name,
            "queue_lengths": {
                "outgoing": self._connection.queued,
                "pending_orders": int(self._community.exchange.pending_counts().sum()),
            },
            "dropped_messages": self._connection.dropped,
            "storage": "failed" if self._persistence.failed else "ok",
            "boot_id": self._boot_id,
        }
        told = [(self._topics.community_status(self._name), orjson.dumps(status))]
        self._connection.publish_batch(told, retain=True)
        self.market()

    def market(self) -> None:
        """Publish prices and books."""
        told = [(self._topics.community_market(self._name), orjson.dumps(market_of(self._community)))]
        self._connection.publish_batch(told, retain=True)

    def _retain(self, topic: str, payload: bytes) -> None:
        self._connection.publish(topic, payload, qos=1, retain=True)

    def _telemetry(
        self, topic: Callable[[str], str], readings: Readings, skews_s: Mapping[int, float]
    ) -> list[tuple[str, bytes]]:
        """Publish readings, each meter's to its own topic; return what was published."""
        if not len(readings.meters):
            return []
        names = [topic(self._community.ids[meter]) for meter in readings.meters.tolist()]
        payloads = self._encoder.encode(readings, time.time(), self._last_trades, skews_s)
        messages = list(zip(names, payloads, strict=True))
        self._connection.publish_batch(messages, retain=True)
        return messages

    def _truth(self, meters: Collection[int], truth: Readings | None) -> None:
        """Publish the truth of those of the `meters` that have faults, and clear it for the others."""
        told: set[int] = set()
        if truth is not None:
            told = set(truth.meters.tolist())
            self._telemetry(self._topics.truth, truth, {})
        if over := self._told_truth.intersection(meters) - told:
            cleared = [(self._topics.truth(self._community.ids[meter]), b"") for meter in over]
            self._connection.publish_batch(cleared, retain=True)
        self._told_truth = self._told_truth - over | told

    def _orders_again(self) -> None:
        exchange = self._community.exchange
        for meter in np.flatnonzero(exchange.pending_counts()).tolist():
            self.orders(order.to_dict() for order in exchange.open_orders(meter))
        try:
            self.orders(row for order_id in self._persistence.retained if (row := self._persistence.order(order_id)))
        except StorageError as error:
            logger.warning("orders that ended lately are not published again: %s", error)

    def _event(self, event: Event) -> None:
        meter_id = self._community.ids[event.meter]
        payload = encode_event(event.event_type, iso_utc(event.timestamp_s), meter_id, event.data)
        self._connection.publish(self._topics.event(meter_id), payload, qos=1)
        if event.event_type == "trade":
            self._last_trades[event.meter] = event.data
