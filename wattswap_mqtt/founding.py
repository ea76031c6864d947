"""A community as the settings want it."""

from wattswap_mqtt.config import Settings
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.errors import ConfigError
from wattswap_mqtt.core.market.entry import Rules
from wattswap_mqtt.core.market.price_list import read_price_list
from wattswap_mqtt.core.market.pricing import Tariff, to_millionths
from wattswap_mqtt.core.plant import meter_ids
from wattswap_mqtt.core.sun import Site


def found_community(settings: Settings, start_s: float) -> Community:
    """Return a new community whose clock starts at `start_s`.

    Raises:
        ConfigError: the file of prices cannot be read, or is wrong.

    """
    return Community(
        meter_ids(settings.community, settings.meters),
        seed=settings.seed,
        start_s=start_s,
        site=Site(settings.latitude, settings.longitude, settings.tz),
        tariff=tariff_of(settings),
        rules=Rules(to_millionths(settings.price_floor), to_millionths(settings.price_cap), settings.max_open_orders),
        load_noise=settings.load_noise,
        bots=settings.bots,
        auto_buy_utok=None if settings.auto_buy_price is None else to_millionths(settings.auto_buy_price),
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
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"--price-csv {path}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"--price-csv {path} is not UTF-8 text") from None
    return read_price_list(f"--price-csv {path}", text.splitlines(), settings.zone, flat)
