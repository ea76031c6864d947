"""Every MQTT topic, declared once.

`CHANNELS` is for the schemas and the docs, `Topics` for those who publish and subscribe.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from wattswap_mqtt.config import TOPIC_PREFIX
from wattswap_mqtt.core.errors import ConfigError

METER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
ORDER_ID = re.compile(r"([A-Za-z0-9_-]{1,64})\.[0-9]{1,15}")
"""`{meter_id}.{number}`; the group is the meter's id."""

Level = Literal["meter", "community", "discovery", "hub"]


@dataclass(frozen=True)
class Channel:
    """One topic: where it stands, who publishes it, and how.

    `below` is the part below the level's prefix (`M/`, `B/community/{cid}/`, the discovery prefix).  `sent_by` is seen
    from the device: "device" publishes it, "anyone" sends it to the device.
    """

    name: str
    level: Level
    below: str
    sent_by: Literal["device", "anyone"]
    qos: int
    retained: str
    meaning: str


STATE = Channel(
    "state", "meter", "state", "device", 0, "yes",
    "the snapshot, every publish interval and at once after a command took effect",
)  # fmt: skip
HUB = Channel(
    "hub", "meter", "hub", "device", 0, "yes",
    "the same quantities for Home Assistant and other hubs: rounded, and paced per quantity; at once after a command",
)  # fmt: skip
TRUTH = Channel(
    "truth", "meter", "truth", "device", 0, "while a fault is active",
    "the snapshot as it really is; cleared (empty retained message) when no fault is active",
)  # fmt: skip
AVAILABILITY = Channel("availability", "meter", "availability", "device", 1, "yes", "`online` or `offline`")
SWITCHES_STATE = Channel("switches", "meter", "switches", "device", 1, "yes", "every switch and its value")
SCENARIO_STATE = Channel(
    "scenario", "meter", "scenario", "device", 1, "yes",
    "the scenario that is set; `none` if none, or once a switch was changed by hand",
)  # fmt: skip
SET_SWITCH = Channel(
    "set_switch", "meter", "switch/{switch}/set", "anyone", 1, "no",
    'a plain value, or `{"value": …, "id": …}`',
)  # fmt: skip
SET_SWITCHES = Channel(
    "set_switches", "meter", "switches/set", "anyone", 1, "no",
    "several switches in one object, all or nothing; optional `id`",
)  # fmt: skip
SET_SCENARIO = Channel(
    "set_scenario", "meter", "scenario/set", "anyone", 1, "no",
    'a scenario\'s name, or `{"value": …, "id": …}` with a name or a scenario of your own; `none` is the plain home',
)  # fmt: skip
SET_DISCOVERY = Channel(
    "set_discovery", "meter", "discovery/set", "anyone", 1, "no",
    'whether the meter is announced to Home Assistant: `ON` or `OFF`, or `{"value": …, "id": …}`; it stays so',
)  # fmt: skip
PLACE_ORDER = Channel("place_order", "meter", "market/place", "anyone", 1, "no", "an order; optional `id`")
CANCEL_ORDER = Channel("cancel_order", "meter", "market/cancel", "anyone", 1, "no", '`{"order_id", "id"}`')
GET_ORDERS = Channel(
    "get_orders", "meter", "market/get", "anyone", 1, "no",
    '`{"order_id", "id"}`, or the filters `status`, `client_order_id`, `limit`',
)  # fmt: skip
ORDER = Channel(
    "order", "meter", "market/order/{order_id}", "device", 1, "while open, and an hour (wall time) after",
    "the order; cleared (empty retained message) at the end",
)  # fmt: skip
ACK = Channel("ack", "meter", "ack", "device", 1, "no", "the one answer to every command")
EVENT = Channel("event", "meter", "event", "device", 1, "no", "something that happened")
COMMUNITY_AVAILABILITY = Channel(
    "community_availability", "community", "availability", "device", 1, "yes",
    "`online` or `offline`: the Last Will of the simulator's connection",
)  # fmt: skip
COMMUNITY_STATUS = Channel(
    "community_status", "community", "status", "device", 0, "yes",
    "meters, measured tick rate, lag, time acceleration, simulated time, queue lengths, version, boot id",
)  # fmt: skip
COMMUNITY_MARKET = Channel(
    "community_market", "community", "market", "device", 0, "yes",
    "price, tariffs, best bid and ask, depth, last trade, simulated timestamp",
)  # fmt: skip
COMMUNITY_TRADE = Channel("community_trade", "community", "market/trade", "device", 1, "no", "each trade")
DISCOVERY = Channel(
    "discovery", "discovery", "device/{meter_id}/config", "device", 1, "yes",
    "Home Assistant device discovery, one message for each meter that is announced",
)  # fmt: skip
BIRTH = Channel(
    "birth", "hub", "status", "anyone", 1, "no",
    "Home Assistant's birth message; on `online` discovery is published again",
)  # fmt: skip

COMMANDS = (SET_SWITCH, SET_SWITCHES, SET_SCENARIO, SET_DISCOVERY, PLACE_ORDER, CANCEL_ORDER, GET_ORDERS)
CHANNELS: tuple[Channel, ...] = (
    STATE, HUB, TRUTH, AVAILABILITY, SWITCHES_STATE, SCENARIO_STATE, *COMMANDS, ORDER, ACK, EVENT,
    COMMUNITY_AVAILABILITY, COMMUNITY_STATUS, COMMUNITY_MARKET, COMMUNITY_TRADE, DISCOVERY, BIRTH,
)  # fmt: skip
_FOR_THE_BRIDGE = (
    ACK, EVENT, COMMUNITY_TRADE, COMMUNITY_AVAILABILITY, COMMUNITY_STATUS, COMMUNITY_MARKET,
    AVAILABILITY, SCENARIO_STATE, SWITCHES_STATE, ORDER, TRUTH, STATE,
)  # fmt: skip
"""In this order: what is large comes again anyway, so it is the one that a broker may drop."""
OF_EVERY_METER: Mapping[str, Channel] = {
    channel.name: channel for channel in _FOR_THE_BRIDGE if channel.level == "meter" and channel.retained == "yes"
}
"""What a broker retains of every meter, as far as a bridge listens to it."""


def is_meter_id(text: str) -> bool:
    """Tell whether `text` can be a meter's id."""
    return METER_ID.fullmatch(text) is not None


def meter_of_order(order_id: str) -> str | None:
    """Return the id of the meter whose order this is; None if `order_id` cannot be one."""
    found = ORDER_ID.fullmatch(order_id)
    return found[1] if found else None


@dataclass(frozen=True)
class Topics:
    """The topics below one base topic and one discovery prefix.

    Raises:
        ConfigError: a prefix that is empty, has a wildcard, an empty level or a control character, or starts with `$`.

    """

    base: str = "wattswap"
    discovery_prefix: str = "homeassistant"

    def __post_init__(self) -> None:
        for flag, prefix in (("base-topic", self.base), ("discovery-prefix", self.discovery_prefix)):
            if not TOPIC_PREFIX.fullmatch(prefix) or len(prefix) > 200:
                raise ConfigError(f"--{flag} takes a topic such as home/wattswap, no blanks, # or +, not {prefix!r}")

    def of_meter(self, meter_id: str, channel: Channel) -> str:
        """Return the topic of a channel of a meter that holds no further name."""
        return f"{self.base}/meter/{meter_id}/{channel.below}"

    def state(self, meter_id: str) -> str:
        """Return `M/state`."""
        return self.of_meter(meter_id, STATE)

    def hub(self, meter_id: str) -> str:
        """Return `M/hub`."""
        return self.of_meter(meter_id, HUB)

    def truth(self, meter_id: str) -> str:
        """Return `M/truth`."""
        return self.of_meter(meter_id, TRUTH)

    def availability(self, meter_id: str) -> str:
        """Return `M/availability`."""
        return self.of_meter(meter_id, AVAILABILITY)

    def switches(self, meter_id: str) -> str:
        """Return `M/switches`."""
        return self.of_meter(meter_id, SWITCHES_STATE)

    def scenario(self, meter_id: str) -> str:
        """Return `M/scenario`."""
        return self.of_meter(meter_id, SCENARIO_STATE)

    def ack(self, meter_id: str) -> str:
        """Return `M/ack`."""
        return self.of_meter(meter_id, ACK)

    def event(self, meter_id: str) -> str:
        """Return `M/event`."""
        return self.of_meter(meter_id, EVENT)

    def order(self, meter_id: str, order_id: str) -> str:
        """Return `M/market/order/{order_id}`."""
        return f"{self.base}/meter/{meter_id}/market/order/{order_id}"

    def command(self, meter_id: str, below: str) -> str:
        """Return the topic of a command; `below` is a `Command.command` such as `switch/daytime/set`."""
        return f"{self.base}/meter/{meter_id}/{below}"

    def community_availability(self, community: str) -> str:
        """Return `B/community/{cid}/availability`."""
        return self._of_community(community, COMMUNITY_AVAILABILITY)

    def community_status(self, community: str) -> str:
        """Return `B/community/{cid}/status`."""
        return self._of_community(community, COMMUNITY_STATUS)

    def community_market(self, community: str) -> str:
        """Return `B/community/{cid}/market`."""
        return self._of_community(community, COMMUNITY_MARKET)

    def community_trade(self, community: str) -> str:
        """Return `B/community/{cid}/market/trade`."""
        return self._of_community(community, COMMUNITY_TRADE)

    def discovery(self, meter_id: str) -> str:
        """Return the topic of a meter's Home Assistant device discovery."""
        return f"{self.discovery_prefix}/device/{meter_id}/config"

    @property
    def birth(self) -> str:
        """Home Assistant's birth topic."""
        return f"{self.discovery_prefix}/{BIRTH.below}"

    @property
    def simulator_subscriptions(self) -> list[tuple[str, int]]:
        """What a simulator listens to: a handful of wildcards, whatever the number of meters.

        They get more than the commands that there are, so that one with a typing error in its topic has its answer too.
        """
        meters = f"{self.base}/meter/+"
        below = ("+/set", "+/+/set", "switch/+", "market/+")  # nothing that the device publishes
        return [*((f"{meters}/{commands}", 1) for commands in below), (self.filter(BIRTH), BIRTH.qos)]

    @property
    def bridge_subscriptions(self) -> list[tuple[str, int]]:
        """What a bridge listens to.

        What is retained with QoS 0, though it is sent with more: a broker keeps only so many messages with QoS 1 for a
        client (mosquitto of its own accord 1000) and drops the others, and thousands of meters are told at once.
        """
        return [(self.filter(channel), channel.qos if channel.retained == "no" else 0) for channel in _FOR_THE_BRIDGE]

    def filter(self, channel: Channel) -> str:
        """Return the subscription that gets `channel` of every meter or community."""
        return re.sub(r"\{\w+\}", "+", self.address(channel))

    def address(self, channel: Channel) -> str:
        """Return the channel's topic with its parameters in braces: `wattswap/meter/{meter_id}/state`."""
        prefix = {
            "meter": f"{self.base}/meter/{{meter_id}}",
            "community": f"{self.base}/community/{{community}}",
            "discovery": self.discovery_prefix,
            "hub": self.discovery_prefix,
        }[channel.level]
        return f"{prefix}/{channel.below}"

    def parse(self, topic: str) -> tuple[str, str] | None:
        """Split a meter's topic into (meter id, what is below it); None for any other topic or an impossible id."""
        return self._split(topic, f"{self.base}/meter/")

    def meter_of(self, topic: str) -> str | None:
        """Return the id of the meter that a topic is about, None for any other topic."""
        split = self.parse(topic)
        return split and split[0]

    def parse_community(self, topic: str) -> tuple[str, str] | None:
        """Split a community's topic into (community id, what is below it); None for any other topic."""
        return self._split(topic, f"{self.base}/community/")

    @staticmethod
    def _split(topic: str, prefix: str) -> tuple[str, str] | None:
        name, slash, below = topic.removeprefix(prefix).partition("/")
        return (name, below) if topic.startswith(prefix) and slash and is_meter_id(name) else None

    def _of_community(self, community: str, channel: Channel) -> str:
        return f"{self.base}/community/{community}/{channel.below}"
