"""The simulator's loop: wait for commands, let time pass, publish.

One thread does everything: it owns the connection, the community and the store.
"""

import logging
import math
import threading
import time
from contextlib import ExitStack
from dataclasses import replace

from wattswap_mqtt.config import BrokerAddress, Settings
from wattswap_mqtt.contract.messages import MAX_PAYLOAD
from wattswap_mqtt.contract.scenario_files import Catalogue
from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.founding import found_community
from wattswap_mqtt.mqtt import Connection, Message
from wattswap_mqtt.roles.simulator.device import Device
from wattswap_mqtt.roles.simulator.inbox import Inbox
from wattswap_mqtt.roles.simulator.pace import Pace
from wattswap_mqtt.roles.simulator.persistence import Persistence
from wattswap_mqtt.roles.simulator.publisher import Publisher

logger = logging.getLogger(__name__)

CATCH_UP_S = 0.25
"""At most so long is spent on simulating time that is overdue, or on sending, before commands are looked at again."""
AT_ONCE = 30
"""So many commands are carried out before others have their turn: an answer waits for what is told of all of them."""
WAITING = 4000
"""When so many commands wait here no more are read: what happens to them is up to the broker."""
QUICK_SUCCESSION_S = 0.001
SOON_S = 0.01
"""While there is more to tell it is looked so often whether the broker has taken the last of it."""


class Simulator:
    """One community on MQTT.

    It goes on from what was saved.  Its clock starts at `--start`, or else at the wall clock; or at the saved time, if
    that is later.  So with `--start` the wall clock does not count: a simulation of another day goes on on that day.

    Raises:
        StorageError: the data directory cannot be used.
        ConfigError: a file of prices or scenarios is wrong.

    """

    def __init__(self, settings: Settings, address: BrokerAddress) -> None:
        topics = Topics(settings.base_topic, settings.discovery_prefix)
        begin_s = math.floor(time.time() if settings.start_s is None else settings.start_s)
        catalogue = Catalogue(settings.scenarios)
        self._community = found_community(settings, begin_s)
        self.announced = threading.Event()
        """Set once the first states are on their way."""
        self._inbox = Inbox(topics.meter_of)
        self._pace = Pace(settings.publish_interval)
        with ExitStack() as undo:
            persistence = Persistence(settings.data_dir / f"community-{settings.community}.sqlite", self._community)
            undo.callback(persistence.close)
            journal = persistence.recover()
            self._connection = Connection(
                address,
                f"wattswap-simulator-{settings.community}",
                subscriptions=topics.simulator_subscriptions,
                on_message=self._on_message,
                on_connect=self._on_connect,
                will=Message(topics.community_availability(settings.community), b"offline", qos=1, retain=True),
            )
            undo.callback(self._connection.close)
            self._publisher = Publisher(
                settings, topics, self._community, self._connection, persistence, self._pace, catalogue.names
            )
            self._device = Device(topics, self._community, persistence, self._publisher, catalogue)
            if journal:
                logger.info("carrying out %d commands again that were not in the last checkpoint", len(journal))
                self._device.replay(journal)
            self._community.skip_to(begin_s)
            for meter in self._community.off_series:
                logger.warning("%s does not follow its series: its sun_mode is manual", self._community.ids[meter])
            self._at_the_end = undo.pop_all()

    def run(self, stop: threading.Event) -> None:
        """Live until `stop` is set; then save, say goodbye and return.

        What an unexpected error leaves behind is not saved: the last checkpoint and the journal are sound.
        """
        with self._at_the_end as end:
            self._device.save()
            self._pace.begin(time.monotonic())
            end.callback(self._publisher.goodbye)
            while not stop.is_set():
                self._take_in()
                self._obey()
                self._let_answers_go()
                self._tick()
            self._device.tell_more(everything=True)
            self._device.save(last=True)

    def close(self) -> None:
        """Let go of everything without having run."""
        self._at_the_end.close()

    @property
    def audience(self) -> threading.Event:
        """Set but for who clears it before `run`: until it is set again events are kept back."""
        return self._publisher.audience

    def wake(self) -> None:
        """Make `run` look at `stop` (from any thread)."""
        self._connection.wake()

    def _take_in(self) -> None:
        """Wait until commands have come or a tick is due.

        Commands in quick succession are all taken in before any is carried out: one commit serves many of them, and
        brokers keep only so much for a client that is busy (mosquitto 1000 messages, and 20 on their way).
        """
        waiting = len(self._inbox)
        if waiting < WAITING:
            patience_s = 0.0 if waiting else self._pace.wait_s(time.monotonic())
            self._connection.wait(min(patience_s, SOON_S) if self._device.tell_more() else patience_s)
        while waiting + 1 < len(self._inbox) < WAITING:
            waiting = len(self._inbox)
            self._connection.wait(QUICK_SUCCESSION_S)
        if len(self._inbox) > 1:
            self._connection.flush()  # the broker can send the next ones while these are carried out

    def _obey(self) -> None:
        """Carry out what has arrived, as far as it does not hold up the ticks."""
        self._device.obey(self._inbox.take(AT_ONCE))

    def _let_answers_go(self) -> None:
        """Wait a little, while no tick is due, until nothing waits to be sent: so the next answer leaves at once."""
        now_s = time.monotonic()
        until_s = now_s + min(self._pace.wait_s(now_s), CATCH_UP_S)
        while self._connection.backed_up and len(self._inbox) < WAITING and time.monotonic() < until_s:
            self._connection.wait(QUICK_SUCCESSION_S)

    def _tick(self) -> None:
        """Simulate what is due, as far as it can be done in a short time, and publish once; nothing, if none is due."""
        if not self._pace.is_due(time.monotonic()):
            return
        until_s = time.monotonic() + CATCH_UP_S
        intervals = 0
        while intervals < self._pace.behind and (intervals == 0 or time.monotonic() < until_s):
            self._community.advance(self._pace.interval_s * self._community.time_acceleration)
            intervals += 1
        self._pace.done(intervals, time.monotonic())
        self._device.report()

    def _on_message(self, message: Message) -> None:
        payload = message.payload[: MAX_PAYLOAD + 1]  # what is too large is refused whatever it is
        self._inbox.add(replace(message, payload=payload))

    def _on_connect(self) -> None:
        self._publisher.announce()
        self.announced.set()
