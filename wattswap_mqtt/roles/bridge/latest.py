"""What the bridge knows of meters and communities: the newest payload of each retained topic, as it came.

Nothing is parsed when it arrives, ten thousand times a second; a snapshot is looked at when it is first asked for.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import orjson

from wattswap_mqtt.contract.topics import OF_EVERY_METER, STATE, is_meter_id
from wattswap_mqtt.core.plant import DEMO_METER
from wattswap_mqtt.roles.bridge.problems import Problem, unavailable

SETTLE_S = 1.0
"""The broker is taken to have told all it retains when it has told nothing new of any meter for this long."""
MAIN = "main"

_NUMBERED = re.compile(r"(.+)_([0-9]{5,})")


class Meter:
    """The newest payloads of one meter; None is not known, or cleared.

    `community` and `number` are what the id tells by the way meters are named: `demo_meter`, `meter_00002` and so on of
    the community `main`, `{community}_00001` of others; no community and 0 if it tells nothing.
    """

    __slots__ = (
        "_checked", "_good", "availability", "community", "number", "scenario", "state", "switches", "truth",
    )  # fmt: skip

    def __init__(self, meter_id: str) -> None:
        numbered = _NUMBERED.fullmatch(meter_id)
        self.community, self.number = (numbered[1], int(numbered[2])) if numbered is not None else ("", 0)
        if meter_id == DEMO_METER or self.community == "meter":
            self.community = MAIN
        self.state: bytes | None = None
        self.truth: bytes | None = None
        self.availability: bytes | None = None
        self.switches: bytes | None = None
        self.scenario: bytes | None = None
        self._checked: bytes | None = None
        self._good = False

    @property
    def untold(self) -> list[str]:
        """Which of the topics that every meter retains were not told."""
        return [name for name in OF_EVERY_METER if getattr(self, name) is None]

    @property
    def snapshot(self) -> bytes | None:
        """The newest state, if it is a JSON object."""
        if self.state is not self._checked:
            self._checked, self._good = self.state, json_object(self.state) is not None
        return self.state if self._good else None


class Community:
    """The newest of one community: availability, and the objects of status and market."""

    __slots__ = ("availability", "market", "status")

    def __init__(self) -> None:
        self.availability: bytes | None = None
        self.status: dict[str, Any] = {}
        self.market: dict[str, Any] = {}

    @property
    def online(self) -> bool:
        """Whether its simulator runs."""
        return self.availability == b"online"

    @property
    def meters(self) -> int | None:
        """How many meters it has, if it has said so."""
        meters = self.status.get("meters")
        return meters if isinstance(meters, int) else None


class Latest:
    """All meters and communities, as far as the broker has told."""

    def __init__(self) -> None:
        self.meters: dict[str, Meter] = {}
        self.communities: dict[str, Community] = {}
        self._partly_told: dict[str, Meter] = {}  # few, once the broker has told all: nobody looks through the others
        self.connected = False
        self.changed_at_s = 0.0
        """Unix time at which the broker came or went; 0 if it never came."""
        self._settled_at_s = 0.0
        self._news = asyncio.Event()

    def broker_came(self) -> None:
        """Forget everything: what is still true is retained, and comes again now."""
        self.meters.clear()
        self.communities.clear()
        self._partly_told.clear()
        self.connected = True
        self.changed_at_s = time.time()
        self._tell()

    async def until_told(self, meter_id: str | None) -> None:
        """Wait for the broker, and for all that it retains of a meter; of one that is offline that may be no state."""
        while not (self.connected and (meter_id is None or self._is_told(meter_id))):
            await self._news.wait()

    def _is_told(self, meter_id: str) -> bool:
        meter = self.meters.get(meter_id)
        return meter is not None and (not meter.untold or meter.availability == b"offline")

    def broker_went(self) -> None:
        """Note that nothing is known for sure any more."""
        self.connected = False
        self.changed_at_s = time.time()

    def put(self, meter_id: str, name: str, payload: bytes) -> None:
        """Take in a retained topic of a meter; an empty payload clears it."""
        meter = self.meters.get(meter_id)
        if meter is None:
            if not payload:
                return
            meter = self.meters[meter_id] = Meter(meter_id)
        was_told = getattr(meter, name) is not None
        setattr(meter, name, payload or None)
        if payload and was_told:
            return
        if payload:
            self._tell()
        elif meter.state is None and meter.availability is None:
            del self.meters[meter_id]
        if meter_id in self.meters and meter.untold:
            self._partly_told[meter_id] = meter
        else:
            self._partly_told.pop(meter_id, None)

    def put_community(self, community_id: str, name: str, payload: bytes) -> None:
        """Take in a topic of a community: availability, status or market."""
        community = self.communities.setdefault(community_id, Community())
        if name == "availability":
            community.availability = payload or None
            self._tell()
        else:
            setattr(community, name, json_object(payload) or {})
        if not (payload or community.availability or community.status or community.market):
            del self.communities[community_id]  # cleared: it is gone for good

    def snapshot(self, meter_id: str) -> bytes | None:
        """Return the snapshot of a meter that is there and well, else None: ask `expect` for the reason."""
        meter = self.meters.get(meter_id)
        if meter is None or not self.connected or meter.availability == b"offline" or not self._is_served(meter):
            return None
        return meter.snapshot

    def names(self) -> list[str]:
        """Return the ids of all meters that are not gone, sorted."""
        return sorted(name for name, meter in self.meters.items() if not self._is_gone(meter))

    def untold(self) -> Iterator[tuple[str, str]]:
        """Yield (meter, name) of each retained topic that every meter has, and that was not told."""
        for meter_id, meter in self._partly_told.items():
            for name in meter.untold:
                if name != STATE.name and not self._is_gone(meter):  # a state comes again by itself
                    yield meter_id, name

    def is_online(self, meter_id: str) -> bool:
        """Tell whether the meter sends: its own availability and its community's."""
        meter = self.meters.get(meter_id)
        return meter is not None and self.connected and meter.availability == b"online" and self._is_served(meter)

    async def expect(self, meter_id: str, *, telemetry: bool = True) -> Meter:
        """Return a meter that is there and well, after the broker had the time to tell of it.

        A meter that is faulty and says `offline` still obeys: without `telemetry` that does not matter.

        Raises:
            Problem: 404 or 503.

        """
        if not is_meter_id(meter_id):
            raise unknown_meter(meter_id)
        await self._until_told(lambda: meter_id in self.meters and not self.meters[meter_id].untold)
        meter = self.meters.get(meter_id)
        if meter is None and not self.communities:
            raise _nobody()
        if meter is None or self._is_gone(meter):
            raise unknown_meter(meter_id)
        if not self._is_served(meter):
            raise unavailable("simulator_away", f"the simulator of {meter_id} is not running")
        if telemetry and meter.availability == b"offline":
            raise unavailable("meter_offline", f"{meter_id} is offline")
        return meter

    async def expect_community(self, name: str | None, own: str) -> tuple[str, Community]:
        """Return the community `name` (None: the bridge's `own` if there is one, else the first) if its simulator runs.

        Raises:
            Problem: 404 or 503.

        """
        await self._until_told(lambda: bool(self.communities) and name in (None, *self.communities))
        if not self.communities:
            raise _nobody()
        chosen = name or (own if own in self.communities else min(self.communities))
        if chosen not in self.communities:
            raise Problem(404, "unknown_community", f"there is no community {chosen!r}")
        if not self.communities[chosen].online:
            raise unavailable("simulator_away", f"the simulator of the community {chosen} is not running")
        return chosen, self.communities[chosen]

    async def _until_told(self, known: Callable[[], bool]) -> None:
        """Wait until what is asked for is known, or the broker has told all it retains.

        Raises:
            Problem: 503, if no broker is there to tell.

        """
        while self.connected and not known() and (rest_s := self._settled_at_s - time.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self._news.wait()
        if not self.connected:
            raise unavailable("broker_away", "the bridge waits for the MQTT broker")

    def _is_gone(self, meter: Meter) -> bool:
        """Tell whether the meter is left over from a time when its community had more meters."""
        community = self.communities.get(meter.community)
        return community is not None and community.meters is not None and meter.number > community.meters

    def _is_served(self, meter: Meter) -> bool:
        """Tell whether a simulator runs the meter; of one without a known community that is taken on trust."""
        community = self.communities.get(meter.community)
        return community is None or (
            community.online and (community.meters is None or meter.number <= community.meters)
        )

    def _tell(self) -> None:
        """Wake those who wait for news."""
        self._settled_at_s = time.monotonic() + SETTLE_S
        self._news.set()
        self._news.clear()


def _nobody() -> Problem:
    return unavailable("simulator_away", "no simulator has announced itself on this broker yet")


def unknown_meter(meter_id: str) -> Problem:
    """Return the 404."""
    shown = meter_id if len(meter_id) <= 64 else f"{meter_id[:64]}…"
    return Problem(404, "unknown_meter", f"there is no meter {shown!r}; GET /api/v1/meters lists them")


def json_object(payload: bytes | None) -> dict[str, Any] | None:
    """Return the JSON object in a payload, None if it is something else: anyone may publish anything."""
    try:
        found = orjson.loads(payload or b"")
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
