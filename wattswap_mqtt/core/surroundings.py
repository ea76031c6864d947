"""What comes from outside the homes of a community, the same for all of them: sun, air, tariff, what people do when."""

from typing import NamedTuple, Self

from wattswap_mqtt.core.load import Minute, minute_at
from wattswap_mqtt.core.market.pricing import Tariff
from wattswap_mqtt.core.recorded import Powers, Recorded
from wattswap_mqtt.core.records import Plant
from wattswap_mqtt.core.sun import Site, Weather, air_at, weather_at


class Surroundings(NamedTuple):
    """What homes live in during one sub-step."""

    weather: Weather | None  # None if no home follows the sun
    air_temp_c: float
    minute: Minute
    cheap_tariff: bool
    recorded: Powers | None = None

    def of(self, homes: slice) -> Self:
        """Return the surroundings of some of the homes."""
        recorded = self.recorded.of(homes) if self.recorded else None
        return self._replace(minute=self.minute.of(homes), recorded=recorded)


class Environment:
    """Tells the surroundings at any time; what changes by the minute or slower is worked out once a minute."""

    def __init__(
        self,
        plant: Plant,
        site: Site,
        tariff: Tariff,
        seed: int,
        load_noise: float,
        recorded: Recorded | None,
        time_s: float,
    ) -> None:
        self._site = site
        self._tariff = tariff
        self._seed = seed
        self._load_noise = load_noise
        self._plant = plant
        self._recorded = recorded
        self._enter(minute_at(time_s, plant, site, load_noise))

    @property
    def air_temp_c(self) -> float:
        """The temperature outside, when the surroundings were last asked for."""
        return self._air.temp_c

    def at(self, time_s: float, dt_s: float = 0.0, *, any_follows_sun: bool) -> Surroundings:
        """Return the surroundings of a sub-step that begins at unix time `time_s`: those of its middle."""
        middle_s = time_s + dt_s / 2
        if not self._minute.holds(middle_s):
            self._enter(minute_at(middle_s, self._plant, self._site, self._load_noise, self._minute))
        return Surroundings(
            weather_at(middle_s, self._site, self._seed) if any_follows_sun else None,
            self._air.temp_c,
            self._minute,
            self._tariff.is_cheap(self._air.local_hour),
            self._recorded.powers(time_s, dt_s) if self._recorded else None,
        )

    def _enter(self, minute: Minute) -> None:
        self._minute = minute
        self._air = air_at(minute.start_s, self._site)
