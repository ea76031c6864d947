"""What a broker has dropped is asked for again.

A broker holds only so many messages for a client, and when thousands of meters are told of at once it may drop some.
A state comes again by itself; availability, switches and scenario would be missing until they change.
"""

import asyncio
from collections import Counter
from itertools import islice

from wattswap_mqtt.contract.topics import OF_EVERY_METER, Topics
from wattswap_mqtt.mqtt import AsyncConnection
from wattswap_mqtt.roles.bridge.latest import Latest

LOOK_EVERY_S = 1.0
AT_ONCE = 1000
"""So many topics are asked for at once, which no broker should find too many."""
TIMES = 3
"""How often one is asked for: a meter that is not ours may lack it."""


class Gaps:
    """Asks for the retained topics of known meters and communities that were not told."""

    def __init__(self, latest: Latest, connection: AsyncConnection, topics: Topics) -> None:
        self._latest = latest
        self._connection = connection
        self._topics = topics
        self._since_s = 0.0
        self._asked: Counter[str] = Counter()
        self._before = 0

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()

    def look(self) -> None:
        """Ask for what is missing, unless it is coming in just now."""
        if self._since_s != self._latest.changed_at_s:  # another connection
            self._since_s, self._before = self._latest.changed_at_s, 0
            self._asked.clear()
        missing = [topic for topic in self._missing() if self._asked[topic] < TIMES]
        wanted = list(islice(missing, AT_ONCE)) if len(missing) >= self._before and self._latest.connected else []
        self._connection.fetch(wanted)
        self._asked.update(wanted)
        self._before = len(missing)

    def _missing(self) -> list[str]:
        of_communities = [
            self._topics.community_availability(name)
            for name, community in self._latest.communities.items()
            if community.availability is None
        ]
        return of_communities + [
            self._topics.of_meter(meter_id, OF_EVERY_METER[name]) for meter_id, name in self._latest.untold()
        ]
