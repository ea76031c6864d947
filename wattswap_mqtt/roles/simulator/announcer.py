"""Discovery: which meters are announced to hubs, and what they were told, so that what is no more can be taken back.

The first meters are announced, and whatever `M/discovery/set` says of a meter beats that.  What hubs know of a meter is
kept in the durable store: a component that an upgrade drops is retired by name, once.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence

import orjson

from wattswap_mqtt.config import Settings
from wattswap_mqtt.contract.discovery import REMOVED, device_config, platforms, retiring
from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.errors import StorageError
from wattswap_mqtt.core.scenarios import NO_SCENARIO
from wattswap_mqtt.mqtt import Connection
from wattswap_mqtt.roles.simulator.persistence import Persistence
from wattswap_mqtt.store.community_store import Row

logger = logging.getLogger(__name__)

REDISCOVERY_PAUSE_S = 5.0
"""Discovery is not published again within this time."""


class Announcer:
    """Announces the meters of a community, with the names of the scenarios to choose from."""

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        community: Community,
        connection: Connection,
        persistence: Persistence,
        scenarios: Sequence[str],
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._ids = community.ids
        self._community = community
        self._scenarios = (NO_SCENARIO, *scenarios)
        self._connection = connection
        self._persistence = persistence
        self._announced_at_s = float("-inf")

    def is_announced(self, meter: int) -> bool:
        """Tell whether a meter is announced."""
        wish: bool | None = self._persistence.discovery.get(self._ids[meter], {}).get("announced")
        return meter < self._settings.discovery_meters if wish is None else wish

    def announce(self) -> None:
        """Announce every meter that is to be announced, and take back what hubs know of the others."""
        self._announced_at_s = time.monotonic()
        told = [self._ids[meter] for meter in range(len(self._ids)) if self.is_announced(meter)]
        self._withdraw(self._persistence.discovery.keys() - set(told))
        self._tell(told)

    def announce_again(self) -> None:
        """Announce for a hub that has just come, unless that was done a moment ago."""
        if time.monotonic() - self._announced_at_s > REDISCOVERY_PAUSE_S:
            self.announce()

    def offer(self, meter: int) -> None:
        """Announce a meter that is in a scenario which hubs do not know: they take no state that is no choice."""
        if self._community.scenarios[meter] not in self._scenarios and self.is_announced(meter):
            self._tell([self._ids[meter]])

    def wish(self, meter: int, *, announced: bool) -> None:
        """Announce a meter from now on, or do not any more.

        Raises:
            StorageError: nothing was changed.

        """
        meter_id = self._ids[meter]
        self._persistence.note_discovery({meter_id: self._noted(meter_id) | {"announced": announced}})
        (self._tell if announced else self._withdraw)([meter_id])

    def _noted(self, meter_id: str) -> Row:
        return self._persistence.discovery.get(meter_id, {})

    def _withdraw(self, meter_ids: Iterable[str]) -> None:
        """Take back the meters that hubs know of: Home Assistant complains about any other."""
        known = [meter_id for meter_id in meter_ids if self._noted(meter_id).get("components")]
        for meter_id in known:
            self._publish(meter_id, REMOVED)
        self._note_told({meter_id: {} for meter_id in known})

    def _tell(self, meter_ids: Iterable[str]) -> None:
        told: dict[str, dict[str, str]] = {}
        for meter_id in meter_ids:
            present = self._community.scenarios[self._community.index[meter_id]]
            choices = dict.fromkeys((*self._scenarios, present))
            del choices[NO_SCENARIO]
            config = device_config(
                self._topics, self._settings.community, meter_id, self._settings.dashboard_url, tuple(choices)
            )
            components, known = platforms(config), self._noted(meter_id).get("components", {})
            # a component that changed its platform has to go before it can come back
            if retired := {key: p for key, p in known.items() if components.get(key) != p}:
                logger.info("%s: hubs are told that these are no more: %s", meter_id, ", ".join(retired))
                self._publish(meter_id, orjson.dumps(retiring(config, retired)))
            self._publish(meter_id, orjson.dumps(config))
            if components != known:
                told[meter_id] = components
        self._note_told(told)

    def _note_told(self, told: Mapping[str, Mapping[str, str]]) -> None:
        """Keep what hubs know of meters now, by component its platform; without a connection that is nothing new."""
        if told and self._connection.connected:
            try:
                self._persistence.note_discovery(
                    {meter_id: self._noted(meter_id) | {"components": known} for meter_id, known in told.items()}
                )
            except StorageError as error:
                logger.warning("what hubs were told is not noted: %s", error)

    def _publish(self, meter_id: str, payload: bytes) -> None:
        self._connection.publish(self._topics.discovery(meter_id), payload, qos=1, retain=True)
