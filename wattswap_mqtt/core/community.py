"""A community: N homes that share weather, clock and market.  Pure: all depends on the seed and the commands only.

Commands act at once (`set_switches`, `set_scenario`, `place`, `cancel`), `advance` moves the clock, `read` says what
the meters report, `take_events` what happened.  `dump` and `restore` carry it over a restart.
"""

import math
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.events import Event
from wattswap_mqtt.core.homes import Homes
from wattswap_mqtt.core.market.bots import Bots, bot_ids
from wattswap_mqtt.core.market.entry import Rules
from wattswap_mqtt.core.market.exchange import Exchange
from wattswap_mqtt.core.market.orders import Order, OrderTerms
from wattswap_mqtt.core.market.pricing import Tariff
from wattswap_mqtt.core.market.surplus import SurplusState
from wattswap_mqtt.core.metering import Meters, Readings
from wattswap_mqtt.core.plant import sample_plant, start_state
from wattswap_mqtt.core.recorded import Recorded
from wattswap_mqtt.core.records import put
from wattswap_mqtt.core.scenarios import NO_SCENARIO, Action, Cancelling, Ordering, Scenario, Start, Switching
from wattswap_mqtt.core.setup import setup_of
from wattswap_mqtt.core.step import INSTANT_S, step
from wattswap_mqtt.core.sun import Site
from wattswap_mqtt.core.surroundings import Environment
from wattswap_mqtt.core.switchboard import Switchboard
from wattswap_mqtt.core.switches import SwitchValue
from wattswap_mqtt.core.timeline import Play, Timeline, described
from wattswap_mqtt.core.trading import Trading, home_of

SUBSTEPS_S = (1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0)
"""The grids of sub-steps; each divides a quarter hour."""


def substep_s(time_acceleration: float) -> float:
    """Return the grid of sub-steps at this acceleration: one sub-step a second of wall time, of a minute at most."""
    return SUBSTEPS_S[min(bisect_left(SUBSTEPS_S, time_acceleration), len(SUBSTEPS_S) - 1)]


class Community:
    """N homes, their switches and faults, their clock and their market."""

    def __init__(
        self,
        ids: Sequence[str],
        *,
        seed: int = 1,
        start_s: float,
        site: Site | None = None,
        tariff: Tariff | None = None,
        rules: Rules | None = None,
        load_noise: float = 1.0,
        bots: int = 0,
        auto_buy_utok: int | None = None,
        recorded: Recorded | None = None,
    ) -> None:
        self.ids = tuple(ids)
        self.index = {name: meter for meter, name in enumerate(self.ids)}
        self.seed = seed
        self.site = site or Site()
        self.tariff = tariff or Tariff()
        self.load_noise = load_noise
        self.clock_s = float(start_s)
        self.seq = 0
        self.scenarios: list[str] = [NO_SCENARIO] * len(self.ids)
        self.timeline = Timeline()
        self.plant = sample_plant(self.ids, seed)
        self._with_series = frozenset(recorded.homes.tolist()) if recorded else frozenset[int]()
        self._board = Switchboard(self.ids, self._with_series)
        self.setup = setup_of(self.plant, self._board.arrays)
        self.state = start_state(self.plant)
        self.meters = Meters(self.plant.key, seed)
        self.exchange = Exchange(self.ids, self.tariff, rules, bot_ids(bots))
        quoting = Bots(self.exchange, bot_ids(bots), seed) if bots else None
        self._trading = Trading(self.exchange, len(self.ids), quoting, auto_buy_utok)
        self._environment = Environment(self.plant, self.site, self.tariff, seed, load_noise, recorded, self.clock_s)
        self._events: list[Event] = []
        self._played: set[int] = set()
        self._unsaved: set[int] = set()
        self._of_this_moment: set[int] = set()  # homes whose powers were computed since the clock moved
        self._redispatch_all()

    @property
    def homes(self) -> Homes:
        """The homes as they are now."""
        return Homes(self.plant, self._board.arrays, self.setup, self.state)

    @property
    def switch_values(self) -> list[dict[str, SwitchValue]]:
        """Every switch of each meter, and its value."""
        return self._board.values

    @property
    def time_acceleration(self) -> float:
        """Simulated seconds per second."""
        return self._board.time_acceleration

    @property
    def off_series(self) -> list[int]:
        """Meters that have a recorded series and do not follow it."""
        return [meter for meter in sorted(self._with_series) if not self.setup.follows_sun[meter]]

    # -- commands ---------------------------------------------------------------------------------------------------

    def set_switches(self, meter: int, values: Mapping[str, SwitchValue]) -> bool:
        """Set switches to values that `Switch.parse` has read; tell whether any of them changed.

        That ends the scenario of the meter and what was still to come of it; but for the time acceleration, which is
        the community's.
        """
        changed = self._switch(meter, values)
        if changed.keys() - {"time_acceleration"}:
            self.scenarios[meter] = NO_SCENARIO
            self.timeline.end(meter)
        return bool(changed)

    def set_scenario(self, meter: int, scenario: Scenario | None) -> None:
        """Set a scenario: every switch, where it starts, what is to come; None restores the plain home."""
        home = self._one(meter)
        start = Start() if scenario is None else scenario.start
        values = self._board.plain(meter) if scenario is None else scenario.switches
        self.exchange.scenario_set(meter, self.clock_s)
        self._change(meter, values)
        if scenario is None:
            self.timeline.end(meter)
        else:
            self.timeline.begin(meter, scenario, self.clock_s)
            home.state.stored_kwh[:] = home.plant.battery_kwh * start.soc_pct / 100.0
            home.state.ev_stored_kwh[:] = home.plant.ev_kwh * start.ev_soc_pct / 100.0
        home.state.base_load_kw[:] = start.base_load_kw
        home.state.sun_level[:] = float(bool(values["daytime"]))
        self.scenarios[meter] = NO_SCENARIO if scenario is None else scenario.slug
        self._redispatch(meter)
        self.note("scenario_set", meter, scenario=self.scenarios[meter])

    def place(self, meter: int, terms: OrderTerms) -> Order:
        """Place an order.

        Raises:
            CommandError: the exchange refuses it.

        """
        if meter not in self._of_this_moment:  # not the last sub-step's mean, which no checkpoint holds
            self._redispatch(meter)
        order = self.exchange.place(meter, terms, self.clock_s, home_of(self._one(meter)))
        if order.under_way:
            self._redispatch(meter)
        return order

    def cancel(self, meter: int, order_id: str) -> Order:
        """Cancel an order.

        Raises:
            CommandError: `unknown_order`, `order_ended`.

        """
        order = self.exchange.cancel(order_id, self.clock_s)
        if order.deliveries:
            self._redispatch(meter)
        return order

    # -- time -------------------------------------------------------------------------------------------------------

    def advance(self, duration_s: float) -> None:
        """Let `duration_s` of simulated time pass, in sub-steps on a fixed grid."""
        end = self.clock_s + duration_s
        self._play()  # what became due while the clock was moved on
        while self.clock_s < end:
            stop = min(self._next_stop_s(), self.timeline.next_s)
            self._substep(stop if end - stop > 1e-6 else end)
            self._play()

    def _next_stop_s(self) -> float:
        """Return where the next sub-step ends: on the grid, or before at a whole second at which the market is due.

        So orders and deliveries end, and what waits for that is traded, at the same second at any acceleration.
        """
        grid = substep_s(self.time_acceleration)
        stop = (math.floor(self.clock_s / grid + 1e-9) + 1.0) * grid
        soonest = math.floor(self.clock_s + 1e-9) + 1.0
        if stop <= soonest:
            return stop
        return max(soonest, math.ceil(self.exchange.next_s(self.clock_s, stop)))

    def _substep(self, stop_s: float) -> None:
        start, before = self.clock_s, self.state
        dt_s = stop_s - start
        self._of_this_moment.clear()
        around = self._environment.at(start, dt_s, any_follows_sun=self.setup.any_follows_sun)
        asks = self.exchange.asks(start, dt_s) if self.exchange.delivering else None
        self.state = step(self.homes, around, asks, start, dt_s)
        self.clock_s = stop_s
        self.meters.count(self.state, before, start)
        if asks is not None or self.setup.any_market_open:
            self._trading.settle(self.homes, before, self.meters.faulty, asks, start, dt_s)
        if self.setup.any_market_open:
            self._trading.let_bots_act(self.homes, stop_s, start)
            for meter, bid in self._trading.reserve_bids(self.homes, stop_s, start):
                with suppress(CommandError):  # it has too many orders, or the price is outside the band
                    self.place(meter, bid)

    def _play(self) -> None:
        """Let the timed events of scenarios happen whose time has come."""
        while (due := self.timeline.take_due(self.clock_s)) is not None:
            meter, event, play = due
            acceleration = self.time_acceleration
            told = {"scenario": self.scenarios[meter], "after_s": event.after_s, **described(event.action)}
            try:
                order_id = self._act(meter, event.action, play)
            except CommandError as error:
                order_id = error.order_id
                told |= {"code": error.code, "message": error.message}
            self.note("scenario_event", meter, **told, **({} if order_id is None else {"order_id": order_id}))
            everyone = self.time_acceleration != acceleration
            self._played.update(range(len(self.ids)) if everyone else (meter,))
            self._unsaved.add(meter)

    def _act(self, meter: int, action: Action, play: Play) -> str | None:
        """Do what a scenario wants done; return the id of the order it is about."""
        match action:
            case Switching(values=values):
                self._switch(meter, values)
                return None
            case Ordering(name=name, terms=terms):
                play.order_ids[name] = self.place(meter, terms).order_id
            case Cancelling(name=name):
                if name not in play.order_ids:
                    raise CommandError("unknown_order", f"the order {name} was not let in: it cannot be cancelled")
                self.cancel(meter, play.order_ids[name])
        return play.order_ids[action.name]

    def take_played(self) -> set[int]:
        """Return the meters whose switches may have changed by timed events since the last call."""
        played, self._played = self._played, set()
        return played

    def _redispatch(self, meter: int) -> None:
        """Compute the powers of one home anew, at once, after a command."""
        asks = self.exchange.asks_of(meter, self.clock_s, INSTANT_S) if self.exchange.delivering else None
        around = self._environment.at(self.clock_s, any_follows_sun=self.setup.any_follows_sun)
        home = step(self._one(meter), around.of(slice(meter, meter + 1)), asks, self.clock_s, 0.0)
        put(self.state, meter, home._replace(mean_flows=home.flows))
        self._of_this_moment.add(meter)

    def _redispatch_all(self) -> None:
        asks = self.exchange.asks(self.clock_s, INSTANT_S) if self.exchange.delivering else None
        around = self._environment.at(self.clock_s, any_follows_sun=self.setup.any_follows_sun)
        self.state = step(self.homes, around, asks, self.clock_s, 0.0)
        self.state = self.state._replace(mean_flows=self.state.flows.copy())

    def skip_to(self, clock_s: float) -> None:
        """Move the clock on to `clock_s`, if that is later; what lies between is not simulated."""
        if clock_s > self.clock_s:
            self.clock_s = clock_s
            self._redispatch_all()

    # -- what is reported -------------------------------------------------------------------------------------------

    def read(self, meters: Collection[int] | None = None) -> tuple[Readings, Readings | None]:
        """Return what the meters report (all, or some), and the truth of those among them that have faults.

        Raised and cleared alarms become events.
        """
        self.seq += 1
        air_temp_c = self._environment.air_temp_c
        readings, truth = self.meters.read(self.homes, self._trading, air_temp_c, self.clock_s, self.seq, meters)
        for event_type, number, alarm in self.meters.changed_alarms(readings):
            self.note(event_type, number, code=alarm.code, level=alarm.level, msg=alarm.msg)
        return readings, truth

    def take_events(self) -> list[Event]:
        """Return what happened since the last call."""
        events, self._events = self._events + self.exchange.take_events(), []
        return events

    # -- durable state ----------------------------------------------------------------------------------------------

    def dump(self) -> tuple[dict[str, Any], dict[str, NDArray[np.generic]]]:
        """Return what a restart needs beside `changed_meters` and the market's rows: plain values, arrays by meter."""
        surplus = self.exchange.surplus_state()
        plain = {
            "clock_s": self.clock_s,
            "seq": self.seq,
            "time_acceleration": self.time_acceleration,
            "surplus": [surplus.start_s, surplus.price_utok],
            "tape": self.exchange.tape.state(),
            "under_way": self.exchange.under_way(),
        }
        return plain, self._kept_arrays(surplus)

    def changed_meters(self) -> dict[str, dict[str, Any]]:
        """Return switches, scenario and faults of the meters that changed since `meters_saved` was called."""
        return {self.ids[meter]: self._describe(meter) for meter in self._unsaved | self.meters.faulty.keys()}

    def meters_saved(self) -> None:
        """Note that what `changed_meters` returned is safe."""
        self._unsaved.clear()

    def restore(
        self,
        plain: Mapping[str, Any],
        meters: Mapping[str, Mapping[str, Any]],
        columns: Mapping[int, tuple[Mapping[str, NDArray[np.generic]], int]],
        orders: Sequence[Mapping[str, Any]],
        entries: Sequence[Mapping[str, Any]],
    ) -> None:
        """Go on from saved state, its clock included; a meter that was not saved starts fresh.

        `columns` says for each of our rows in which saved arrays, and in which column of them, the meter stands;
        `orders` and `entries` are the market's rows.
        """
        self.clock_s = float(plain["clock_s"])
        self.seq = int(plain["seq"])
        switches = {name: saved.get("switches", {}) for name, saved in meters.items()}
        self._board.load(switches, plain["time_acceleration"])
        self.setup = setup_of(self.plant, self._board.arrays)
        self._count_apart()
        for meter, name in enumerate(self.ids):
            saved = meters.get(name, {})
            self.scenarios[meter] = saved.get("scenario", NO_SCENARIO)
            if saved.get("timeline"):
                self.timeline.load(meter, saved["timeline"])
            self._inject(meter, float(saved.get("faulty_since_s", self.clock_s)), saved.get("stuck"))
        surplus = self.exchange.surplus_state()
        for name, array in self._kept_arrays(surplus).items():
            for meter, (saved_arrays, column) in columns.items():
                if name in saved_arrays and saved_arrays[name].shape[:-1] == array.shape[:-1]:
                    array[..., meter] = saved_arrays[name][..., column]
        if not self.meters.faulty and (self.state.metered == self.state.registers).all():
            self.state = self.state._replace(metered=self.state.registers)
        start_s, price_utok = plain["surplus"]
        surplus = surplus._replace(start_s=start_s, price_utok=price_utok)
        self.exchange.restore(orders, entries, surplus, plain.get("tape"), plain.get("under_way"))
        self._redispatch_all()

    def _kept_arrays(self, surplus: SurplusState) -> dict[str, NDArray[np.generic]]:
        """Return what cannot be computed anew from the switches and the clock."""
        kept = ("sun_level", "base_load_kw", "stored_kwh", "ev_stored_kwh", "ev_session_kwh", "registers", "metered")
        state = self.state._asdict()
        ours = {name: state[name] for name in kept} | {
            "alarms": self.meters.alarms,
            "token_error_utok": self._trading.token_error_utok,
        }
        return ours | {
            f"surplus_{name}": leaf for name, leaf in surplus._asdict().items() if isinstance(leaf, np.ndarray)
        }

    def _describe(self, meter: int) -> dict[str, Any]:
        described: dict[str, Any] = {"switches": self.switch_values[meter], "scenario": self.scenarios[meter]}
        if (faulty := self.meters.faulty.get(meter)) is not None:
            described |= {"faulty_since_s": faulty.since_s, "stuck": faulty.stuck}
        if (to_come := self.timeline.dump(meter)) is not None:
            described["timeline"] = to_come
        return described

    # -- inside -----------------------------------------------------------------------------------------------------

    def _switch(self, meter: int, values: Mapping[str, SwitchValue]) -> dict[str, SwitchValue]:
        """Set switches, tell of it, and return the previous values of what changed."""
        wanted = dict(values)
        if "daytime" in wanted:
            wanted.setdefault("sun_mode", "manual")
        changed = self._change(meter, wanted)
        for name, previous in changed.items():
            self.note("switch_changed", meter, switch=name, value=wanted[name], previous=previous)
        self._redispatch(meter)
        return changed

    def _change(self, meter: int, values: Mapping[str, SwitchValue]) -> dict[str, SwitchValue]:
        """Set what differs, with the consequences of each change; return the previous values of what changed."""
        self._unsaved.add(meter)
        was_open = self.setup.any_market_open
        changed = self._board.change(meter, values)
        self.setup = setup_of(self.plant, self._board.arrays)
        for name in changed:
            match name, values[name]:
                case "grid_connected", True:
                    self.note("grid_reconnect", meter)
                case "grid_connected", _:
                    self.exchange.grid_lost(meter, self.clock_s)
                    self.note("grid_disconnect", meter)
                case ("market_enabled", True) if not was_open:
                    self._trading.let_bots_act(self.homes, self.clock_s)
                case "market_enabled", False:
                    self.exchange.market_closed(meter, self.clock_s)
                case "ev_plug", True:
                    self.state.ev_session_kwh[meter] = 0.0
                case "fault_inject", _:
                    self._inject(meter, self.clock_s)
        return changed

    def _inject(self, meter: int, since_s: float, stuck: Mapping[str, float] | None = None) -> None:
        """Let a meter have the faults that are set, or none."""
        self.meters.inject(meter, self._board.faults(meter), since_s, stuck)
        if meter in self.meters.faulty:
            self._count_apart()

    def _count_apart(self) -> None:
        """Let what the meters count be another array than the truth: there is a fault, or there was one."""
        if self.state.metered is self.state.registers:
            self.state = self.state._replace(metered=self.state.registers.copy())

    def _one(self, meter: int) -> Homes:
        """Return a home alone: views, to which may be written."""
        return self.homes.of(slice(meter, meter + 1))

    def note(self, event_type: str, meter: int, **data: object) -> None:
        """Add an event."""
        self._events.append(Event(event_type, self.clock_s, meter, data))
