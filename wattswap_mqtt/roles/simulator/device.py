"""The device side of the contract: what is published when, and what a command leads to."""

import logging
import time
import uuid
from collections.abc import Sequence

import numpy as np
import orjson

from wattswap_mqtt import __version__
from wattswap_mqtt.config import Settings
from wattswap_mqtt.contract.answers import Ack, accepted, encode_ack, encode_event, rejected
from wattswap_mqtt.contract.discovery import device_config
from wattswap_mqtt.contract.messages import (
    CancelOrder,
    Command,
    GetOrders,
    PlaceOrder,
    RejectedCommand,
    SetScenario,
    SetSwitches,
    parse_command,
)
from wattswap_mqtt.contract.snapshots import SnapshotEncoder, iso_utc
from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.core.community import Community, Readings
from wattswap_mqtt.core.errors import CommandError, StorageError
from wattswap_mqtt.core.events import Event
from wattswap_mqtt.core.market.rows import wire_form
from wattswap_mqtt.mqtt import Connection, Message
from wattswap_mqtt.roles.simulator.hub import HubPace
from wattswap_mqtt.roles.simulator.pace import Pace
from wattswap_mqtt.roles.simulator.persistence import Persistence
from wattswap_mqtt.store.community_store import JournalRow

logger = logging.getLogger(__name__)

ORDER_RETAINED_S = 3600.0
"""Wall time for which the last version of an ended order stays retained."""
REDISCOVERY_PAUSE_S = 5.0
"""Discovery is not published again within this time."""
OPEN = ("accepted", "partially_filled")


class Device:
    """Publishes what the meters of a community report, and carries out commands."""

    def __init__(self, settings: Settings, topics: Topics, community: Community, connection: Connection, persistence: Persistence) -> None:
        self._settings = settings
        self._topics = topics
        self._community = community
        self._connection = connection
        self._persistence = persistence
        self._encoder = SnapshotEncoder(community.ids, settings.tz, __version__)
        self._hub = HubPace(len(community.ids))
        self._boot_id = uuid.uuid4().hex
        self._last_trades: dict[int, object] = {}
        self._told_truth: set[int] = set()
        self._told_offline: set[int] = set()
        self._ended_orders: dict[str, float] = {}  # topic -> when it is cleared, monotonic
        self._discovered_s = float("-inf")
        self._started = False
        self._status: bytes = b""

    # -- out ----------------------------------------------------------------------------------------------------------

    def announce(self) -> None:
        """Publish everything that is retained; called at each connect, before anything else."""
        community, topics = self._community, self._topics
        for meter_id in self._persistence.gone:
            self._publish(topics.availability(meter_id), b"offline")
            self._publish(topics.discovery(meter_id), b"")
        for meter in range(len(community.ids)):
            self._publish_switches(meter)
        for meter in np.flatnonzero(community.exchange.pending_counts()).tolist():
            for order in community.exchange.open_orders(meter):
                self._publish_order(order.to_dict())
        self._publish_readings(at_once=True)
        for meter, meter_id in enumerate(community.ids):
            online = meter not in community.faulty or not community.faulty[meter].offline
            self._publish(topics.availability(meter_id), b"online" if online else b"offline")
        if self._status:
            self._connection.publish(topics.community_status(self._settings.community), self._status, qos=0, retain=True)
        self._publish(topics.community_availability(self._settings.community), b"online")
        self._discover()
        if not self._started:
            self._started = True
            for meter in range(min(len(community.ids), self._settings.discovery_meters)):
                self._publish_event(Event("started", community.clock_s, meter, {"boot_id": self._boot_id}))

    def report(self, pace: Pace) -> None:
        """Publish a tick: what was counted is saved before it is told."""
        readings, truth = self._community.read()
        self._collect_changes()
        self._persistence.checkpoint()
        self._publish_states(readings, truth, at_once=False)
        self._publish_events()
        self._forget_ended_orders()
        self._publish_community(pace)

    def goodbye(self) -> None:
        """Say that the community is gone on purpose."""
        self._publish(self._topics.community_availability(self._settings.community), b"offline")

    def _publish(self, topic: str, payload: bytes) -> None:
        self._connection.publish(topic, payload, qos=1, retain=True)

    def _publish_readings(self, meter: int | None = None, *, at_once: bool) -> None:
        readings, truth = self._community.read(meter)
        self._publish_states(readings, truth, at_once=at_once)

    def _publish_states(self, readings: Readings, truth: Readings | None, *, at_once: bool) -> None:
        topics, faulty, ids = self._topics, self._community.faulty, self._community.ids
        now_s = time.time()
        skews = {meter: fault.number("clock_skew_s") for meter, fault in faulty.items() if fault.number("clock_skew_s")}
        payloads = self._encoder.encode(readings, now_s, self._last_trades, skews)
        messages = [(topics.state(ids[meter]), payload) for meter, payload in zip(readings.meters.tolist(), payloads, strict=True)]
        silent: set[str] = set()
        if faulty:
            for meter in readings.meters.tolist():
                if meter in faulty and (faulty[meter].offline or (not at_once and faulty[meter].drops(readings.seq))):
                    silent |= {topics.state(ids[meter]), topics.hub(ids[meter])}
            repeated = {topics.state(ids[m]) for m in readings.meters.tolist() if m in faulty and faulty[m].repeats(readings.seq)}
            messages = [message for message in messages if message[0] not in silent]
            self._connection.publish_batch(messages, retain=True)
            messages = [message for message in messages if message[0] in repeated]
        self._connection.publish_batch(messages, retain=True)
        due = self._hub.due(readings, time.monotonic(), at_once=at_once)
        if due is not None:
            told = zip(due.meters.tolist(), self._encoder.encode(due, now_s, self._last_trades, skews), strict=True)
            hub = [(topics.hub(ids[meter]), payload) for meter, payload in told]
            self._connection.publish_batch([message for message in hub if message[0] not in silent], retain=True)
        self._publish_truth(readings, truth, now_s)

    def _publish_truth(self, readings: Readings, truth: Readings | None, now_s: float) -> None:
        told: set[int] = set()
        if truth is not None:
            payloads = self._encoder.encode(truth, now_s, self._last_trades)
            told = set(truth.meters.tolist())
            ids = [self._community.ids[meter] for meter in truth.meters.tolist()]
            self._connection.publish_batch([(self._topics.truth(name), body) for name, body in zip(ids, payloads, strict=True)], retain=True)
        if self._told_truth:
            over = (self._told_truth - told) & set(readings.meters.tolist())
            self._connection.publish_batch([(self._topics.truth(self._community.ids[meter]), b"") for meter in over], retain=True)
            self._told_truth -= over
        self._told_truth |= told

    def _publish_switches(self, meter: int) -> None:
        meter_id = self._community.ids[meter]
        self._publish(self._topics.switches(meter_id), orjson.dumps(self._community.switch_values[meter]))
        self._publish(self._topics.scenario(meter_id), self._community.scenarios[meter].encode())

    def _publish_availability_changes(self, meter: int) -> None:
        offline = meter in self._community.faulty and self._community.faulty[meter].offline
        if offline != (meter in self._told_offline):
            self._publish(self._topics.availability(self._community.ids[meter]), b"offline" if offline else b"online")
            (self._told_offline.add if offline else self._told_offline.discard)(meter)

    def _publish_order(self, order: dict[str, object]) -> None:
        topic = self._topics.order(str(order["meter_id"]), str(order["order_id"]))
        self._publish(topic, orjson.dumps(order))
        if order["status"] not in OPEN:
            self._ended_orders[topic] = time.monotonic() + ORDER_RETAINED_S

    def _forget_ended_orders(self) -> None:
        now_s = time.monotonic()
        while self._ended_orders:
            topic, clear_s = next(iter(self._ended_orders.items()))
            if clear_s > now_s:
                return
            self._publish(topic, b"")
            del self._ended_orders[topic]

    def _collect_changes(self) -> None:
        """Publish orders that changed, and hand them to the next checkpoint."""
        changes = self._community.exchange.take_changes()
        for row in changes.orders:
            self._publish_order(wire_form(row))
        self._persistence.add(changes)

    def _publish_events(self) -> None:
        for event in self._community.take_events():
            self._publish_event(event)

    def _publish_event(self, event: Event) -> None:
        meter_id = self._community.ids[event.meter]
        payload = encode_event(event.event_type, iso_utc(event.timestamp_s), meter_id, event.data)
        self._connection.publish(self._topics.event(meter_id), payload, qos=1)
        if event.event_type == "trade":
            self._last_trades[event.meter] = event.data
            self._connection.publish(self._topics.community_trade(self._settings.community), orjson.dumps(event.data), qos=1)

    def _publish_community(self, pace: Pace) -> None:
        community, exchange = self._community, self._community.exchange
        now = iso_utc(community.clock_s)
        self._status = orjson.dumps({
            "community": self._settings.community,
            "meters": len(community.ids),
            "simulated_time": now,
            "published_at": iso_utc(time.time()),
            "time_acceleration": community.time_acceleration,
            "tick_rate": round(pace.tick_rate_hz, 3),
            "publish_interval_s": pace.interval_s,
            "lag_s": round(pace.lag_s, 3),
            "queue_lengths": {"outgoing": self._connection.queued, "pending_orders": int(exchange.pending_counts().sum())},
            "dropped_messages": self._connection.dropped,
            "storage": "failed" if self._persistence.failed else "ok",
            "load_noise": community.load_noise,
            "seed": community.seed,
            "tz": community.site.tz,
            "version": __version__,
            "boot_id": self._boot_id,
        })  # fmt: skip
        quotes = community.tariff.quote(community.clock_s)
        market = orjson.dumps({
            "timestamp": now,
            "current_market_price": exchange.current_price_utok(community.clock_s) * 1e-6,
            "import_tariff": quotes.ask_utok * 1e-6,
            "feed_in_tariff": quotes.bid_utok * 1e-6,
            "best_bid": quotes.bid_utok * 1e-6,
            "best_ask": quotes.ask_utok * 1e-6,
            "depth": {"bids": [], "asks": []},
            "last_trade": exchange.last_trade,
            "ledger_sum_utok": exchange.ledger_sum_utok,
        })  # fmt: skip
        name = self._settings.community
        self._connection.publish_batch(
            [(self._topics.community_status(name), self._status), (self._topics.community_market(name), market)], retain=True
        )

    def _discover(self) -> None:
        self._discovered_s = time.monotonic()
        for meter_id in self._community.ids[: self._settings.discovery_meters]:
            self._publish(self._topics.discovery(meter_id), orjson.dumps(device_config(self._topics, self._settings.community, meter_id)))

    # -- in -----------------------------------------------------------------------------------------------------------

    def obey(self, messages: Sequence[Message]) -> None:
        """Carry out what arrived: journal, effect, retained state, answers, in this order."""
        jobs = [job for message in messages if (job := self._read(message)) is not None]
        if not jobs:
            return
        journal = [row for _, command, row in jobs if not isinstance(command, RejectedCommand | GetOrders)]
        refusal: CommandError | None = None
        if journal:
            try:
                self._persistence.journal(journal)
            except StorageError as error:
                refusal = CommandError("storage", f"the simulator cannot save commands now, so nothing was changed: {error}")
        answers: list[tuple[int, Ack]] = []
        touched: dict[int, None] = {}
        acceleration = self._community.time_acceleration
        for meter, command, _ in jobs:
            reads = isinstance(command, GetOrders)
            answers.append((meter, self._answer(meter, command, None if reads else refusal)))
            if not reads:
                touched[meter] = None
        self._collect_changes()
        if self._community.time_acceleration != acceleration:
            for meter in range(len(self._community.ids)):
                self._publish_switches(meter)
        for meter in touched:
            self._publish_switches(meter)
            self._publish_availability_changes(meter)
            self._publish_readings(meter, at_once=True)
        self._publish_events()
        for meter, ack in answers:
            self._connection.publish(self._topics.ack(self._community.ids[meter]), encode_ack(ack), qos=1)

    def replay(self, journal: Sequence[JournalRow]) -> None:
        """Carry out commands again that a crash took from the checkpoint."""
        for meter_id, below, payload in journal:
            meter = self._community.index.get(meter_id)
            if meter is not None:
                self._answer(meter, self._parse(meter_id, below, payload), None)
        self._collect_changes()
        self._persistence.checkpoint()

    def _read(self, message: Message) -> tuple[int, Command | RejectedCommand, JournalRow] | None:
        if message.topic == self._topics.birth:
            if message.payload == b"online" and time.monotonic() - self._discovered_s > REDISCOVERY_PAUSE_S:
                self._discover()
            return None
        split = self._topics.parse(message.topic)
        meter = self._community.index.get(split[0]) if split else None
        if split is None or meter is None:
            return None  # another community's
        meter_id, below = split
        if message.retain:
            logger.warning("ignored a retained command on %s: an old command must not act at each reconnect", message.topic)
            self._event_rejected(meter, below, "retained_command", "a retained command is ignored: send it without the retain flag")
            self._publish_events()
            return None
        return meter, self._parse(meter_id, below, message.payload), (meter_id, below, message.payload)

    @staticmethod
    def _parse(meter_id: str, below: str, payload: bytes) -> Command | RejectedCommand:
        try:
            return parse_command(meter_id, below, payload)
        except RejectedCommand as error:
            return error

    def _answer(self, meter: int, command: Command | RejectedCommand, refusal: CommandError | None) -> Ack:
        """Carry out one command; whatever happens, there is one answer."""
        try:
            if isinstance(command, RejectedCommand):
                raise command
            if refusal is not None:
                raise refusal
            return accepted(command, self._carry_out(meter, command))
        except CommandError as error:
            self._event_rejected(meter, command.command, error.code, error.message)
            return rejected(command, error)
        except Exception:
            logger.exception("%s failed", command.command)
            return rejected(command, CommandError("internal_error", "this should not happen: the simulator's log says more"))

    def _carry_out(self, meter: int, command: Command) -> object:
        community = self._community
        match command:
            case SetSwitches(values=values):
                community.set_switches(meter, values)
                mine = community.switch_values[meter]
                result = {name: mine[name] for name in values}
                return result if command.command == "switches/set" else next(iter(result.values()))
            case SetScenario(name=name):
                community.set_scenario(meter, name)
                return community.scenarios[meter]
            case PlaceOrder(terms=terms):
                return community.place(meter, terms).to_dict()
            case CancelOrder(order_id=order_id):
                return community.cancel(meter, order_id).to_dict()
            case GetOrders(order_id=None, filters=filters):
                self._collect_changes()
                self._persistence.checkpoint()
                return [wire_form(row) for row in self._persistence.orders(community.ids[meter], filters)]
            case GetOrders(order_id=str() as order_id):
                return self._order(order_id)

    def _order(self, order_id: str) -> object:
        try:
            return self._community.exchange.get(order_id).to_dict()
        except CommandError:
            row = self._persistence.order(order_id)
            if row is None:
                raise
            return wire_form(row)

    def _event_rejected(self, meter: int, command: str, code: str, message: str) -> None:
        self._community.note("command_rejected", meter, command=command, code=code, message=message)


