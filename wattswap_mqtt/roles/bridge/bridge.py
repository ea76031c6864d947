"""The bridge behind its HTTP face: one MQTT connection, and everyone who wants to know what arrives on it."""

import asyncio
import logging
import math
import os
import time
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Self

import orjson

from wattswap_mqtt.config import Settings
from wattswap_mqtt.contract import topics as channels
from wattswap_mqtt.contract.scenario_files import Catalogue
from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.core.moments import DAY_S, iso_utc
from wattswap_mqtt.mqtt import AsyncConnection, Message
from wattswap_mqtt.roles.bridge.ask import Asker
from wattswap_mqtt.roles.bridge.events import Happenings
from wattswap_mqtt.roles.bridge.gaps import Gaps
from wattswap_mqtt.roles.bridge.latest import Community, Latest
from wattswap_mqtt.roles.bridge.live import MESSAGE, Live
from wattswap_mqtt.store.history import History
from wattswap_mqtt.store.levels import Policy

log = logging.getLogger(__name__)

HISTORY_FILE = "history.sqlite"
PRESENT = 1000
READERS = 2
"""Long queries at once: they share the processor with everything else."""
_ORDER = channels.ORDER.below.partition("{")[0]


class Bridge:
    """What the endpoints serve from; `async with` connects it and opens the history.

    Raises:
        ConfigError: a user's scenario is wrong.

    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topics = Topics(settings.base_topic, settings.discovery_prefix)
        self.catalogue = Catalogue(settings.scenarios)
        self.latest = Latest()
        self.live = Live()
        self.received = 0
        """Messages that came from the broker."""
        self.connection = AsyncConnection(
            settings.broker_address,
            f"wattswap-bridge-{os.getpid()}-{os.urandom(3).hex()}",
            subscriptions=self.topics.bridge_subscriptions,
            on_message=self.on_message,
            on_connect=self._on_connect,
            on_disconnect=self._on_disconnect,
        )
        self.readers = asyncio.Semaphore(READERS)
        """Held by whoever reads the history."""
        self.gaps = Gaps(self.latest, self.connection, self.topics)
        self.asker = Asker(self.connection, self.topics)
        self.history: History
        self.events: Happenings
        self.trades: Happenings

    async def __aenter__(self) -> Self:
        """Open the history and begin to connect.

        Raises:
            StorageError: the history cannot be opened.

        """
        self.history = History(history_path(self.settings), policy_of(self.settings)).start()
        self.events = Happenings("event", self.history)
        self.trades = Happenings("trade", self.history)
        await self.connection.start()
        self._watching = asyncio.create_task(self.gaps.watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Say goodbye to the broker and write what is pending."""
        self.live.close()
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        await self.connection.close()
        self.history.close()

    def on_message(self, message: Message) -> None:
        """Hand a message on to whom it concerns."""
        self.received += 1
        of_meter = self.topics.parse(message.topic)
        if of_meter is not None:
            self._of_meter(*of_meter, message.payload)
            if self.live.wanted(MESSAGE, of_meter[0]):
                self.live.publish(MESSAGE, of_meter[0], _raw(message.topic, message.payload))
        else:
            of_community = self.topics.parse_community(message.topic)
            if of_community is not None:
                self._of_community(*of_community, message.payload)

    def present(self, wanted: Collection[str] | None) -> Iterator[tuple[str, str | None, bytes]]:
        """Yield what is known of some meters (None: all), as the live stream tells it: (event, meter, JSON).

        Of a large fleet only the first `PRESENT` are told of: the others' states come within a publish interval.
        """
        yield "broker", None, self._broker()
        for community_id in self.latest.communities:
            yield "community", None, self._community(community_id)
            yield "market", None, self._market(community_id)
        meters = self.latest.meters
        for meter_id in islice(meters if wanted is None else meters.keys() & wanted, PRESENT):
            meter = meters[meter_id]
            for name in ("availability", "switches", "scenario"):
                payload = getattr(meter, name)
                if payload:
                    yield name, meter_id, _told(meter_id, name, payload)
            if meter.snapshot:
                yield "state", meter_id, meter.snapshot
            if meter.truth:
                yield "truth", meter_id, meter.truth
            for name in ("availability", "switches", "scenario", "truth", "state"):
                payload = getattr(meter, name)
                if payload:
                    yield MESSAGE, meter_id, _raw(f"{self.topics.base}/meter/{meter_id}/{name}", payload)

    def _of_meter(self, meter_id: str, below: str, payload: bytes) -> None:
        match below:
            case "state":
                self.latest.put(meter_id, "state", payload)
                if payload:
                    self.history.append(meter_id, payload)
                    self.live.publish("state", meter_id, payload, replaces=True)
            case "availability" | "switches" | "scenario" | "truth":
                self.latest.put(meter_id, below, payload)
                if below != "truth" or payload:
                    told = payload if below == "truth" else _told(meter_id, below, payload)
                    self.live.publish(below, meter_id, told, replaces=True)
            case "ack":
                self.asker.on_ack(meter_id, payload)
            case "event":
                if self.events.add(payload):
                    self.live.publish("event", meter_id, payload)
            case _ if below.startswith(_ORDER) and payload:
                self.live.publish("order", meter_id, payload)

    def _of_community(self, community_id: str, below: str, payload: bytes) -> None:
        match below:
            case "availability" | "status" | "market":
                self.latest.put_community(community_id, below, payload)
                if below == "market":
                    self.live.publish("market", None, self._market(community_id))
                else:
                    self.live.publish("community", None, self._community(community_id))
            case "market/trade":
                if self.trades.add(payload):
                    self.live.publish("trade", None, payload)

    def _on_connect(self) -> None:
        self.latest.broker_came()
        self.live.publish("broker", None, self._broker())

    def _on_disconnect(self, _reason: str) -> None:
        self.latest.broker_went()
        self.live.publish("broker", None, self._broker())

    def _broker(self) -> bytes:
        since_s = self.latest.changed_at_s
        return orjson.dumps(
            {
                "address": str(self.settings.broker_address),
                "connected": self.latest.connected,
                "since": iso_utc(since_s) if since_s else None,
            }
        )

    def _community(self, community_id: str) -> bytes:
        community = self.latest.communities.get(community_id, Community())
        online = "online" if community.online else "offline"
        return orjson.dumps({"community": community_id, "availability": online, "status": community.status})

    def _market(self, community_id: str) -> bytes:
        return orjson.dumps(
            {"community": community_id, **self.latest.communities.get(community_id, Community()).market}
        )


def history_path(settings: Settings) -> Path:
    """Return where the history is kept."""
    return settings.data_dir / HISTORY_FILE


def policy_of(settings: Settings) -> Policy:
    """Return for how long the history is kept; no days are for ever."""
    fine, minute, quarter = (
        days * DAY_S or math.inf
        for days in (settings.history_1s_days, settings.history_1m_days, settings.history_15m_days)
    )
    return Policy(fine_s=fine, minute_s=minute, quarter_s=quarter)


def _told(meter_id: str, name: str, payload: bytes) -> bytes:
    """Return a small retained payload (text, or a JSON object) together with the meter that it belongs to."""
    try:
        value = orjson.loads(payload) if payload.lstrip().startswith(b"{") else payload.decode()
    except ValueError:
        value = None
    return orjson.dumps({"meter_id": meter_id, name: value})


def _raw(topic: str, payload: bytes) -> bytes:
    """Return an MQTT message for those who want to see the wire."""
    text = payload.decode(errors="replace")
    return orjson.dumps({"topic": topic, "payload": text, "received_at": iso_utc(time.time())})
