"""Home Assistant's Energy dashboard, filled over its WebSocket API with the registers of WattSwap's meters.

Entities are found by their unique ids, so it does not matter what somebody has renamed them to.
Source: https://developers.home-assistant.io/docs/api/websocket, components/energy of Home Assistant (its preferences).
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from wattswap_mqtt.core.errors import ConfigError, WattSwapError

Json = dict[str, Any]

PATIENCE_S = 20.0
MAX_MESSAGE = 64 * 1024 * 1024
"""The list of all entities of a large installation is one message."""
LATER = "statistics_not_defined"
"""What validation says of a sensor until the next five-minute mark, at which statistics are made."""


class HomeAssistant:
    """A WebSocket to Home Assistant that has been let in."""

    def __init__(self, socket: Connection) -> None:
        self._socket = socket
        self._numbers = count(1)

    def ask(self, kind: str, **fields: object) -> Any:  # noqa: ANN401 - whatever Home Assistant answers
        """Send a command and return its result.

        Raises:
            WattSwapError: it was refused.

        """
        number = next(self._numbers)
        self._socket.send(orjson.dumps({"id": number, "type": kind, **fields}).decode())
        while True:
            answer = orjson.loads(self._socket.recv(PATIENCE_S))
            if answer["id"] == number and answer["type"] == "result":
                if not answer["success"]:
                    raise WattSwapError(f"Home Assistant refuses {kind}: {answer['error']['message']}")
                return answer["result"]


@contextmanager
def home_assistant(url: str, token: str) -> Iterator[HomeAssistant]:
    """Connect to the Home Assistant at `url`.

    Raises:
        ConfigError: `url` is no such address, or the token is wrong.
        WattSwapError: nobody answers there.

    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(f"--url takes an address such as http://homeassistant.local:8123, not {url!r}")
    scheme = {"http": "ws", "https": "wss"}[parts.scheme]
    address = urlunsplit((scheme, parts.netloc, f"{parts.path.rstrip('/')}/api/websocket", "", ""))
    try:
        with connect(address, open_timeout=PATIENCE_S, max_size=MAX_MESSAGE, proxy=None) as socket:
            socket.recv(PATIENCE_S)  # it says that it wants to know who we are
            socket.send(orjson.dumps({"type": "auth", "access_token": token}).decode())
            if orjson.loads(socket.recv(PATIENCE_S))["type"] != "auth_ok":
                raise ConfigError("--token is refused: make a long-lived access token on your profile's security page")
            yield HomeAssistant(socket)
    except (OSError, WebSocketException) as error:
        raise WattSwapError(f"no Home Assistant answers at {url}: {error}") from None


def fill(url: str, token: str, meter_ids: Sequence[str]) -> None:
    """Fill the preferences with some meters, keep what else is there, and say what Home Assistant thinks of it.

    Raises:
        WattSwapError: it cannot be reached, does not know one of the meters, or finds something wrong.

    """
    with home_assistant(url, token) as hub:
        entities = {
            entry["unique_id"]: entry["entity_id"]
            for entry in hub.ask("config/entity_registry/list")
            if entry["platform"] == "mqtt"
        }
        try:
            before = hub.ask("energy/get_prefs")
        except WattSwapError:  # there are none yet
            before = {}
        wanted = merged(before, [sources_of(meter_id, entities) for meter_id in meter_ids])
        hub.ask("energy/save_prefs", **wanted)
        issues = [issue for part in hub.ask("energy/validate").values() for source in part for issue in source]
    sys.stdout.write(f"the Energy dashboard shows {', '.join(meter_ids)}: {url.rstrip('/')}/energy\n")
    if any(issue["type"] == LATER for issue in issues):
        sys.stdout.write("statistics begin at the next five-minute mark\n")
    wrong = [issue for issue in issues if issue["type"] != LATER]
    if wrong:
        said = "; ".join(f"{issue['type']} {issue['affected_entities']}" for issue in wrong)
        raise WattSwapError(f"Home Assistant finds something wrong with its energy preferences: {said}")


def sources_of(meter_id: str, entities: Mapping[str, str]) -> Json:
    """Return the energy preferences of one meter; `entities` are entity ids by unique id.

    Home Assistant's signs: power from the grid and out of the battery is positive; our net power is positive on export.

    Raises:
        WattSwapError: an entity is missing.

    """

    def entity(key: str) -> str:
        try:
            return entities[f"{meter_id}_{key}"]
        except KeyError:
            raise WattSwapError(
                f"Home Assistant has no entity {meter_id}_{key}: is it connected to the broker of {meter_id}, "
                "and is the meter announced (M/discovery/set)?"
            ) from None

    return {
        "energy_sources": [
            {
                "type": "grid",
                "stat_energy_from": entity("derived_energy_imported_kwh"),
                "stat_energy_to": entity("derived_energy_exported_kwh"),
                "entity_energy_price": entity("grid_grid_price_currency_per_kwh"),
                "entity_energy_price_export": entity("feed_in_price"),
                "power_config": {"stat_rate_inverted": entity("derived_net_power_kw")},
                "cost_adjustment_day": 0.0,
            },
            {
                "type": "solar",
                "stat_energy_from": entity("derived_pv_energy_kwh"),
                "stat_rate": entity("pv_pv_power_kw"),
                "config_entry_solar_forecast": None,
            },
            {
                "type": "battery",
                "stat_energy_from": entity("derived_battery_discharged_kwh"),
                "stat_energy_to": entity("derived_battery_charged_kwh"),
                "power_config": {"stat_rate": entity("battery_battery_power_kw")},
                "stat_soc": entity("battery_soc_pct"),
            },
            {
                "type": "home",
                "stat_energy_to": entity("derived_load_energy_kwh"),
                "stat_rate": entity("loads_load_power_kw"),
            },
        ],
        "device_consumption": [
            {
                "stat_consumption": entity("derived_ev_energy_kwh"),
                "stat_rate": entity("ev_power_kw"),
                "name": f"EV ({meter_id.replace('_', ' ')})",
            }
        ],
    }


def merged(before: Mapping[str, Any], additions: Sequence[Json]) -> Json:
    """Return preferences with the additions instead of what they name; anything else in `before` stays.

    There can be one home only, so with a second one there is none.
    """
    wanted: Json = {}
    for part, keys in (
        ("energy_sources", ("stat_energy_from", "stat_energy_to")),
        ("device_consumption", ("stat_consumption",)),
    ):
        added = [source for addition in additions for source in addition[part]]
        named = {source[key] for source in added for key in keys if key in source}
        kept = [one for one in before.get(part, []) if not named.intersection(str(one.get(key)) for key in keys)]
        wanted[part] = kept + added
    homes = [source for source in wanted["energy_sources"] if source["type"] == "home"]
    if len(homes) > 1:
        wanted["energy_sources"] = [source for source in wanted["energy_sources"] if source not in homes]
    return wanted
