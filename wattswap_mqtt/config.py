"""Every setting, declared once: flag, environment variable and TOML key, range, default and help are read from here.

A flag (`--http-port`) beats the environment (`WATTSWAP_HTTP_PORT`), which beats the TOML file given by `--config`
(`http_port = 8000`).
"""

import difflib
import os
import re
import reprlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from wattswap_mqtt.core.errors import ConfigError

ENV_PREFIX = "WATTSWAP_"
BROKER_FORMS = "embedded, mqtt://[user:password@]host[:port] or mqtts://…"
DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}
TOPIC_PREFIX = re.compile(r"(?!\$)[^/#+{}\s\x00-\x1f]+(/[^/#+{}\s\x00-\x1f]+)*")
WEB_URL = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
WILDCARD_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised here, not bound
"""Where a listener bound to every interface is reached from this machine."""


@dataclass(frozen=True)
class BrokerAddress:
    """Where the broker is, and how to be let in."""

    host: str
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca_file: Path | None = None

    @classmethod
    def parse(cls, url: str, ca_file: Path | None = None) -> Self:
        """Read `mqtt://[user:password@]host[:port]` or `mqtts://…` (percent-encoding in user and password is undone).

        Raises:
            ConfigError: what is wrong with it, without the password.

        """
        try:
            parts = urlsplit(url.strip())
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"takes {BROKER_FORMS}: {error}") from None
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname or port == 0:
            raise ConfigError(f"takes {BROKER_FORMS}")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ConfigError(f"takes {BROKER_FORMS}, with nothing after the port")
        return cls(
            host=parts.hostname,
            port=DEFAULT_PORTS[parts.scheme] if port is None else port,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            tls=parts.scheme == "mqtts",
            ca_file=ca_file,
        )

    def __str__(self) -> str:
        """Return the URL as it may be shown: without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def _broker(value: str) -> str:
    try:
        if value != "embedded":
            BrokerAddress.parse(value)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        raise ValueError("takes an IANA time zone such as Europe/Berlin or UTC") from None
    return value


def _topic(value: str) -> str:
    if not TOPIC_PREFIX.fullmatch(value):
        raise ValueError(
            "takes a topic such as wattswap or home/wattswap: no blanks, + or #, no empty level, no leading $"
        )
    return value


def _web_url(value: str) -> str:
    if not WEB_URL.fullmatch(value):
        raise ValueError("takes an address such as http://192.168.1.5:8000")
    return value.rstrip("/")


def _start(value: datetime) -> datetime:
    if not 1970 < value.year < 2200:
        raise ValueError("takes a time between the years 1971 and 2199")
    return value


def _community(value: str) -> str:
    if value == "meter":
        raise ValueError("takes a name other than meter: meter_00002 … are those of the community main")
    return value


def _directory(value: object) -> object:
    if value == "":
        raise ValueError("takes a directory; . is the one you are in")
    return value


def _at_home(value: Path) -> Path:
    try:
        return value.expanduser()
    except RuntimeError:
        raise ValueError("takes a directory; there is no such user") from None


Directory = Annotated[Path, BeforeValidator(_directory), AfterValidator(_at_home)]
Port = Annotated[int, Field(ge=0, le=65535)]
Topic = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_topic)]
Price = Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)]
Days = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class Settings(BaseModel):
    """All settings of all roles; a value that cannot be used is a `ConfigError` from `load_settings`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    broker: Annotated[str, AfterValidator(_broker)] = Field("embedded", description=f"the MQTT broker: {BROKER_FORMS}")
    ca_file: Path | None = Field(
        None, description="certificate authority (PEM) that a mqtts:// broker is checked against"
    )
    mqtt_host: str = Field("127.0.0.1", min_length=1, description="address the embedded broker listens on")
    mqtt_port: Port = Field(1883, description="port the embedded broker listens on; 0 takes a free one")
    mqtt_ws_port: Port | None = Field(None, description="port of MQTT over WebSocket, for browsers; off unless given")
    http_host: str = Field("127.0.0.1", min_length=1, description="address that REST and dashboard listen on")
    http_port: Port = Field(8000, description="port that REST and dashboard listen on; 0 takes a free one")
    data_dir: Directory = Field(Path("wattswap-data"), description="directory of the durable state and the history")
    meters: int = Field(2, ge=1, le=100_000, description="number of virtual meters")
    community: Annotated[str, AfterValidator(_community)] = Field(
        "main", pattern=r"^[A-Za-z0-9_-]{1,57}$", description="name of this community of meters"
    )
    seed: int = Field(1, ge=0, le=2**63 - 1, description="the same seed gives the same homes, weather and noise")
    load_noise: float = Field(1.0, ge=0, le=10, allow_inf_nan=False, description="swing of the appliances; 0 = none")
    bots: int = Field(0, ge=0, le=10_000, description="liquidity bots on the marketplace")
    import_price: Price = Field(0.30, description="the utility sells at, apt/kWh")
    feed_in_price: Price = Field(0.08, description="the utility buys at, apt/kWh")
    price_csv: Path | None = Field(
        None, description="prices by quarter hour or time of day instead: lines of start,import,feed_in"
    )
    load_csv: Path | None = Field(
        None,
        description="recorded loads that drive the homes: lines of timestamp,power_kw (see own-data.md)",
    )
    pv_csv: Path | None = Field(None, description="recorded PV that drives the homes, in the same form")
    price_floor: Price = Field(-1000, description="lowest limit price of an order, apt/kWh; it may be negative")
    price_cap: Price = Field(1000, description="highest limit price of an order, apt/kWh")
    max_open_orders: int = Field(200, ge=1, le=100_000, description="open orders that one meter may have")
    auto_buy_price: Price | None = Field(
        None, description="homes below their reserve bid this for the energy to fill it, apt/kWh; off unless given"
    )
    scenarios: Directory | None = Field(
        None, description="folder of more scenarios, one YAML file each; see docs/scenarios.md"
    )
    publish_interval: float = Field(
        1.0, ge=0.01, le=3600, allow_inf_nan=False, description="seconds between two states of a meter"
    )
    start: Annotated[datetime, AfterValidator(_start)] | None = Field(
        None, description="simulated time to begin at, ISO 8601, in --tz unless it says otherwise; now unless given"
    )
    latitude: float = Field(50.1, ge=-90, le=90, allow_inf_nan=False, description="of the site, degrees north")
    longitude: float = Field(8.7, ge=-180, le=180, allow_inf_nan=False, description="of the site, degrees east")
    tz: Annotated[str, AfterValidator(_zone)] = Field("Europe/Berlin", description="time zone of the site (IANA name)")
    base_topic: Topic = Field("wattswap", description="what every topic begins with")
    discovery_prefix: Topic = Field("homeassistant", description="where Home Assistant looks for devices")
    discovery_meters: int = Field(20, ge=0, le=100_000, description="how many meters are announced to Home Assistant")
    dashboard_url: Annotated[str, AfterValidator(_web_url)] | None = Field(
        None,
        description="where people reach the dashboard: Home Assistant links to it; `up` tells its own unless given",
    )
    history_1s_days: Days = Field(1, description="days that values by the second are kept; 0 = for ever")
    history_1m_days: Days = Field(31, description="days that values by the minute are kept; 0 = for ever")
    history_15m_days: Days = Field(0, description="days that values by the quarter hour are kept; 0 = for ever")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error: how much is said on stderr"
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.ca_file is not None:
            if not self.broker.startswith("mqtts://"):
                raise ValueError("--ca-file is of use with a mqtts:// broker only: give --broker mqtts://…")
            if not self.ca_file.is_file():
                raise ValueError(f"--ca-file: there is no file {self.ca_file}")
        if self.price_floor > self.price_cap:
            raise ValueError(f"--price-floor {self.price_floor:g} is above --price-cap {self.price_cap:g}")
        return self

    @property
    def embedded(self) -> bool:
        """Whether the broker is our own."""
        return self.broker == "embedded"

    @property
    def web_url(self) -> str:
        """Where this machine's browsers reach the bridge, without a slash at the end."""
        host = reachable(self.http_host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.http_port}"

    @property
    def broker_address(self) -> BrokerAddress:
        """Where this machine's roles reach the broker."""
        if self.embedded:
            return BrokerAddress(reachable(self.mqtt_host), self.mqtt_port)
        return BrokerAddress.parse(self.broker, self.ca_file)

    @property
    def zone(self) -> ZoneInfo:
        """The site's time zone."""
        return ZoneInfo(self.tz)

    @property
    def start_s(self) -> float | None:
        """Simulated time to begin at, unix seconds."""
        if self.start is None:
            return None
        aware = self.start if self.start.tzinfo else self.start.replace(tzinfo=self.zone)
        return aware.astimezone(UTC).timestamp()


def load_settings(
    flags: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None, config: Path | None = None
) -> Settings:
    """Join flags (by field name), environment (`os.environ` unless given) and TOML file, and check them.

    `config` is the value of `--config`; without it `WATTSWAP_CONFIG` names the file, if any.

    Raises:
        ConfigError: one line that names the flag, variable or key and says what would be right.

    """
    environ = os.environ if environ is None else environ
    flags = flags or {}
    if config is None and environ.get("WATTSWAP_CONFIG"):
        config = Path(environ["WATTSWAP_CONFIG"])
    from_file = {} if config is None else read_toml(config)
    # an empty variable is an unset one: that is how compose files pass on what is not there
    from_env = {name: value for name in Settings.model_fields if (value := environ.get(variable_of(name)))}
    values: dict[str, Any] = {**from_file, **from_env, **flags}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
    if not first["loc"]:
        raise ConfigError(str(first["ctx"]["error"]))
    name = str(first["loc"][0])
    source = flag_of(name) if name in flags else variable_of(name) if name in from_env else f"{name} in {config}"
    problem = first["ctx"]["error"] if first["type"] == "value_error" else f"takes {wanted(name)}"
    shown = "" if name == "broker" else f", not {reprlib.repr(values[name])}"  # a broker's URL may hold a password
    raise ConfigError(f"{source} {problem}{shown}")


def wanted(name: str) -> str:
    """Return in words what the setting `name` takes, from its declaration."""
    schema = Settings.model_json_schema()["properties"][name]
    match schema.get("anyOf", [schema])[0]:
        case {"enum": options}:
            return f"one of {', '.join(options)}"
        case {"type": "integer" | "number" as kind, "minimum": low, **rest}:
            number = "a whole number" if kind == "integer" else "a number"
            return f"{number} from {low} to {rest['maximum']}"
        case {"pattern": _}:
            return "1 to 57 of the characters A-Z a-z 0-9 _ - (a meter's id adds up to 7 to make 64)"
        case {"format": "date-time"}:
            return "an ISO 8601 time such as 2026-06-21T12:00 or 2026-06-21T10:00:00Z"
        case {"maxLength": length}:
            return f"a text of 1 to {length} characters"
        case _:
            return "a path" if "path" in str(schema) else "a text"


def reachable(host: str) -> str:
    """Return the address at which this machine reaches a listener on `host`."""
    return WILDCARD_HOSTS.get(host, host)


def flag_of(name: str) -> str:
    """Return the flag of the setting `name`."""
    return f"--{name.replace('_', '-')}"


def variable_of(name: str) -> str:
    """Return the environment variable of the setting `name`."""
    return f"{ENV_PREFIX}{name.upper()}"


def read_toml(path: Path) -> dict[str, Any]:
    """Read the settings file at `path`; keys may be written with `-` or `_`."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config {path}: {error.strerror}") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise ConfigError(f"--config {path} is not TOML: {error}") from None
    values = {key.replace("-", "_"): value for key, value in table.items()}
    for key, value in values.items():
        if key not in Settings.model_fields:
            near = difflib.get_close_matches(key, Settings.model_fields, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(Settings.model_fields)}"
            raise ConfigError(f"{key} in {path} is no setting: {hint}")
        if isinstance(value, bool):  # pydantic would read true as 1
            raise ConfigError(f"{key} in {path} takes {wanted(key)}, not {str(value).lower()}")
    return values
