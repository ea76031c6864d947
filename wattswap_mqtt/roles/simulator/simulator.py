"""The simulator's loop: wait for commands, let time pass, publish.

One thread does everything: it owns the connection, the community and the store.
"""

import logging
import math
import threading
import time

from wattswap_mqtt.config import BrokerAddress, Settings
from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.plant import meter_ids
from wattswap_mqtt.core.sun import Site
from wattswap_mqtt.mqtt import Connection, Message
from wattswap_mqtt.roles.simulator.device import Device
from wattswap_mqtt.roles.simulator.pace import Pace
from wattswap_mqtt.roles.simulator.persistence import Persistence

logger = logging.getLogger(__name__)

CATCH_UP_S = 0.25
"""At most so long is spent on simulating time that is overdue before commands are looked at again."""


class Simulator:
    """One community on MQTT.

    Raises:
        StorageError: the data directory cannot be used.

    """

    def __init__(self, settings: Settings, address: BrokerAddress) -> None:
        topics = Topics(settings.base_topic, settings.discovery_prefix)
        begin_s = math.floor(time.time() if settings.start_s is None else settings.start_s)
        community = Community(
            meter_ids(settings.community, settings.meters),
            seed=settings.seed,
            start_s=begin_s,
            site=Site(settings.latitude, settings.longitude, settings.tz),
            load_noise=settings.load_noise,
        )
        self._persistence = Persistence(settings.data_dir / f"community-{settings.community}.sqlite", community)
        again = self._persistence.recover(begin_s)
        self._connection = Connection(
            address,
            f"wattswap-simulator-{settings.community}",
            subscriptions=topics.simulator_subscriptions,
            on_message=self._on_message,
            on_connect=self._on_connect,
            will=Message(topics.community_availability(settings.community), b"offline", qos=1, retain=True),
        )
        self._device = Device(settings, topics, community, self._connection, self._persistence)
        if again:
            logger.info("carrying out %d commands again that were not in the last checkpoint", len(again))
            self._device.replay(again)
        self.announced = threading.Event()
        """Set once the first states are on their way."""
        self._community = community
        self._inbox: list[Message] = []
        self._pace = Pace(settings.publish_interval, time.monotonic())

    def run(self, stop: threading.Event) -> None:
        """Live until `stop` is set; then save, say goodbye and return."""
        self._pace = Pace(self._pace.interval_s, time.monotonic())
        self._persistence.checkpoint()
        try:
            while not stop.is_set():
                self._connection.wait(self._pace.wait_s(time.monotonic()))
                if self._inbox:
                    messages, self._inbox = self._inbox, []
                    self._device.obey(messages)
                if self._pace.is_due(time.monotonic()):
                    self._tick()
        finally:
            self._persistence.checkpoint()
            self._device.goodbye()
            self._connection.close()
            self._persistence.close()

    def wake(self) -> None:
        """Make `run` look at `stop` (from any thread)."""
        self._connection.wake()

    def _tick(self) -> None:
        """Simulate what is due, as far as it can be done in a short time, and publish once."""
        until_s = time.monotonic() + CATCH_UP_S
        intervals = 0
        while intervals < self._pace.behind and (intervals == 0 or time.monotonic() < until_s):
            self._community.advance(self._pace.interval_s * self._community.time_acceleration)
            intervals += 1
        self._pace.done(intervals, time.monotonic())
        self._device.report(self._pace)

    def _on_message(self, message: Message) -> None:
        self._inbox.append(message)

    def _on_connect(self) -> None:
        self._device.announce()
        self.announced.set()


