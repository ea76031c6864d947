"""A community as the settings want it."""

import logging
from typing import NamedTuple

from wattswap_mqtt.config import Settings
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.errors import ConfigError
from wattswap_mqtt.core.market.entry import Rules
from wattswap_mqtt.core.market.price_list import read_price_list
from wattswap_mqtt.core.market.pricing import Tariff, to_millionths
from wattswap_mqtt.core.plant import meter_ids
from wattswap_mqtt.core.recorded import Recorded
from wattswap_mqtt.core.sun import Site
from wattswap_mqtt.own_data import StoredSeries, read_series

logger = logging.getLogger(__name__)
EVERYONE = slice(None)


class OwnData(NamedTuple):
    """The recorded series that the settings name."""

    load: StoredSeries | None
    pv: StoredSeries | None

    @property
    def start_s(self) -> float | None:
        """When the first of them begins, if there is one."""
        return min((stored.start_s for stored in self if stored is not None), default=None)

    def recorded(self, homes: slice) -> Recorded | None:
        """Return what drives some of the homes."""
        series = [None if stored is None else stored.series(homes) for stored in self]
        return Recorded(*series) if any(series) else None


def own_data_of(settings: Settings) -> OwnData:
    """Read the recorded series.

    Raises:
        ConfigError: a file cannot be read, or is wrong.

    """
    ids = meter_ids(settings.community, settings.meters)
    found: list[StoredSeries | None] = []
    for flag, path in (("--load-csv", settings.load_csv), ("--pv-csv", settings.pv_csv)):
        if path is not None:
            logger.info("reading %s %s", flag, path)
        found.append(None if path is None else read_series(flag, path, ids, settings.zone))
        if path is not None:
            logger.info("%s", found[-1])
    return OwnData(*found)


def found_community(
    settings: Settings, start_s: float, homes: slice = EVERYONE, own_data: OwnData | None = None
) -> Community:
    """Return a new community, or some of its homes, whose clock starts at `start_s`.

    Raises:
        ConfigError: a file of prices or of recorded series cannot be read, or is wrong.

    """
    return Community(
        meter_ids(settings.community, settings.meters)[homes],
        seed=settings.seed,
        start_s=start_s,
        site=Site(settings.latitude, settings.longitude, settings.tz),
        tariff=tariff_of(settings),
        rules=Rules(to_millionths(settings.price_floor), to_millionths(settings.price_cap), settings.max_open_orders),
        load_noise=settings.load_noise,
        bots=settings.bots,
        auto_buy_utok=None if settings.auto_buy_price is None else to_millionths(settings.auto_buy_price),
        recorded=(own_data or own_data_of(settings)).recorded(homes),
    )


def tariff_of(settings: Settings) -> Tariff:
    """Return the utility's prices.

    Raises:
        ConfigError: the file of prices cannot be read, or is wrong.

    """
    flat = Tariff(to_millionths(settings.import_price), to_millionths(settings.feed_in_price))
    path = settings.price_csv
    if path is None:
        return flat
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return read_price_list(f"--price-csv {path}", lines, settings.zone, flat)
    except OSError as error:
        raise ConfigError(f"--price-csv {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"--price-csv {path} is not UTF-8 text") from None
