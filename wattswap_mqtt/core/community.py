"""A community: N homes that share weather, clock and market.  Pure: all depends on the seed and the commands only.

Commands act at once (`set_switches`, `set_scenario`, `place`, `cancel`), `advance` moves the clock, `read` says what
the meters report, `take_events` what happened.  `dump` and `restore` carry it over a restart.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wattswap_mqtt.core import load
from wattswap_mqtt.core.arrays import Floats, Ints
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.events import Event
from wattswap_mqtt.core.faults import is_active
from wattswap_mqtt.core.faulty import FaultyMeter
from wattswap_mqtt.core.market.bots import ROUND_S, Bots, bot_ids
from wattswap_mqtt.core.market.delivery import Asks
from wattswap_mqtt.core.market.entry import Home, Rules
from wattswap_mqtt.core.market.exchange import Exchange
from wattswap_mqtt.core.market.orders import Order, OrderTerms
from wattswap_mqtt.core.market.pricing import QUARTER_S, Tariff
from wattswap_mqtt.core.market.reserve import reserve_bid
from wattswap_mqtt.core.market.surplus import SurplusState
from wattswap_mqtt.core.meter import Standing, mains_at, measure, view_of
from wattswap_mqtt.core.plant import DEMO_BASE_LOAD_KW, DEMO_METER, EV_START_SOC, START_SOC, sample_plant
from wattswap_mqtt.core.quantities import EV_MODES, stack
from wattswap_mqtt.core.recorded import Recorded
from wattswap_mqtt.core.records import Appliance, Flow, Plant, Register, State, Switches, one, put, take
from wattswap_mqtt.core.scenarios import NO_SCENARIO, Action, Cancelling, Ordering, Scenario, Start, Switching
from wattswap_mqtt.core.setup import Setup, setup_of
from wattswap_mqtt.core.status import Judge, alarms_of, judge
from wattswap_mqtt.core.step import INSTANT_S, RECHARGE_KW, Surroundings, step
from wattswap_mqtt.core.sun import Site, air_at, weather_at
from wattswap_mqtt.core.switches import SUN_MODES, SWITCHES, SwitchValue
from wattswap_mqtt.core.timeline import Play, Timeline, described

SUBSTEPS_S = (1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0)
"""The grids of sub-steps; each divides a quarter hour."""


class Readings(NamedTuple):
    """What some meters report at one moment."""

    meters: Ints  # (m,) row numbers in the community
    time_s: float
    seq: int
    values: Floats  # (quantities, m), see quantities.stack
    alarms: Ints  # (m,) bits, see status.ALARMS


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
        self.storage_failed = False
        self.plant: Plant = sample_plant(self.ids, seed)
        self.recorded = recorded
        self._own_data = frozenset(recorded.homes.tolist()) if recorded else frozenset[int]()
        self.switch_values: list[dict[str, SwitchValue]] = [self._plain_switches(meter) for meter in range(len(ids))]
        self.scenarios: list[str] = [NO_SCENARIO] * len(self.ids)
        self.timeline = Timeline()
        self._played: set[int] = set()
        self.switches: Switches = _switch_arrays(self.switch_values)
        self.setup: Setup = setup_of(self.plant, self.switches)
        self.state: State = _start_state(self.plant)
        self.faulty: dict[int, FaultyMeter] = {}
        self.exchange = Exchange(self.ids, self.tariff, rules, bot_ids(bots))
        self._bots = Bots(self.exchange, bot_ids(bots), seed) if bots else None
        self._auto_buy_utok = auto_buy_utok
        self._token_error_utok: Floats = np.zeros((2, len(self.ids)))  # what faults added to earnings and spending
        self._judge = Judge(len(self.ids))
        self._everyone: Ints = np.arange(len(self.ids))
        self._alarms: Ints = np.zeros(len(self.ids), np.int64)
        self._events: list[Event] = []
        self._minute = load.minute_at(self.clock_s, self.plant, self.site, load_noise)
        self._air = air_at(self._minute.start_s, self.site)
        self._market_open = False
        self._unsaved: set[int] = set()
        self._of_this_moment: set[int] = set()  # homes whose powers were computed since the clock moved
        self._redispatch_all()

    @property
    def time_acceleration(self) -> float:
        """Simulated seconds per second."""
        return float(self.switch_values[0]["time_acceleration"])  # type: ignore[arg-type] # a number switch

    @property
    def off_series(self) -> list[int]:
        """Meters that have a recorded series and do not follow it."""
        return [meter for meter in sorted(self._own_data) if not self.setup.follows_sun[meter]]

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
        home, plant = one(self.state, meter), one(self.plant, meter)
        start = Start() if scenario is None else scenario.start
        values = self._plain_switches(meter) if scenario is None else scenario.switches
        self.exchange.scenario_set(meter, self.clock_s)
        self._change(meter, values)
        if scenario is None:
            self.timeline.end(meter)
        else:
            self.timeline.begin(meter, scenario, self.clock_s)
            home.stored_kwh[:] = plant.battery_kwh * start.soc_pct / 100.0
            home.ev_stored_kwh[:] = plant.ev_kwh * start.ev_soc_pct / 100.0
        home.base_load_kw[:] = start.base_load_kw
        home.sun_level[:] = float(bool(values["daytime"]))
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
        home = one(self.state, meter)
        plant = one(self.plant, meter)
        efficiency, battery_kw = float(plant.one_way_efficiency[0]), float(plant.battery_kw[0])
        spare_kwh = float(home.stored_kwh[0] - plant.battery_kwh[0] * self.switches.battery_reserve_pct[meter] / 100.0)
        surplus_kw = float(max(home.pv_potential_kw[0] - home.flows[Flow.LOAD, 0], 0.0))
        order = self.exchange.place(
            meter,
            terms,
            self.clock_s,
            Home(
                grid_connected=bool(self.switches.grid_connected[meter]),
                market_enabled=bool(self.switches.market_enabled[meter]),
                available_discharge_kwh=max(spare_kwh, 0.0) * efficiency,
                p_max_discharge_kw=battery_kw,
                surplus_kw=surplus_kw,
                p_max_charge_kw=battery_kw,
                hours_to_reserve=max(-spare_kwh, 0.0) / efficiency / max(min(surplus_kw, battery_kw), RECHARGE_KW),
            ),
        )
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
            grid = substep_s(self.time_acceleration)
            stop = min((math.floor(self.clock_s / grid + 1e-9) + 1.0) * grid, self.timeline.next_s)
            self._substep(stop if end - stop > 1e-6 else end)
            self._play()

    def _substep(self, stop_s: float) -> None:
        start, before = self.clock_s, self.state
        dt_s = stop_s - start
        self._of_this_moment.clear()
        asks = self.exchange.asks(start, dt_s) if self.exchange.delivering else None
        self.state = step(
            self.plant, before, self.switches, self.setup, self._surroundings(start, dt_s), asks, start, dt_s
        )
        self.clock_s = stop_s
        for meter, faulty in self.faulty.items():
            added = self.state.registers[:, meter] - before.registers[:, meter]
            self.state.metered[:, meter] = before.metered[:, meter] + faulty.count(added, start)
        if asks is not None or self._market_open:
            self._settle(before, asks, start, dt_s)
        if self._market_open:
            if self._bots is not None and start // ROUND_S < stop_s // ROUND_S:
                self._let_bots_act()
            if self._auto_buy_utok is not None and start // QUARTER_S < stop_s // QUARTER_S:
                self._fill_reserves(self._auto_buy_utok)

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

    def _settle(self, before: State, asks: Asks | None, start_s: float, dt_s: float) -> None:
        """Settle on what the meters counted: orders first, then, where the market is open, the surplus."""
        hours = dt_s / 3600.0
        exported, imported = (
            self.state.metered[row] - before.metered[row] for row in (Register.EXPORTED, Register.IMPORTED)
        )
        sold = bought = np.zeros_like(exported)
        if asks is not None:
            sold, bought = np.minimum(exported, asks.sell_kw * hours), np.minimum(imported, asks.buy_kw * hours)
        tokens = np.stack([self.exchange.earnings_utok, self.exchange.spending_utok]) if self.faulty else None
        self.exchange.settle(start_s + dt_s, dt_s, sold, bought, (exported - sold) * self.switches.market_enabled)
        if tokens is not None:
            moved = np.stack([self.exchange.earnings_utok, self.exchange.spending_utok]) - tokens
            for meter in self.faulty:
                rows = [Register.EXPORTED, Register.IMPORTED]
                true = self.state.registers[rows, meter] - before.registers[rows, meter]
                seen = np.array([exported[meter], imported[meter]])
                share = np.divide(true, seen, out=np.zeros(2), where=seen > 0.0)
                self._token_error_utok[:, meter] += moved[:, meter] * (1.0 - share)

    def _let_bots_act(self) -> None:
        """Let the bots quote anew by what the homes on the grid have too much and too little of."""
        if self._bots is not None:
            flows = self.state.flows
            spare = (self.state.pv_potential_kw - flows[Flow.LOAD]) * self.switches.grid_connected
            self._bots.act(self.clock_s, float(np.maximum(spare, 0.0).sum()), float(np.maximum(-spare, 0.0).sum()))

    def _fill_reserves(self, price_utok: int) -> None:
        """Let the homes below their reserve bid for what fills it."""
        missing = (self.setup.reserve_kwh - self.state.stored_kwh) / self.plant.one_way_efficiency
        wanting = (missing > 0.0) & self.switches.market_enabled & self.switches.grid_connected
        for meter in np.flatnonzero(wanting).tolist():
            charge_kw = float(self.state.max_charge_kw[meter])
            bid = reserve_bid(float(missing[meter]), charge_kw, price_utok, self.clock_s)
            if bid is not None:
                with suppress(CommandError):  # it has too many orders, or the price is outside the band
                    self.place(meter, bid)

    def _surroundings(self, time_s: float, dt_s: float = 0.0) -> Surroundings:
        middle_s = time_s + dt_s / 2
        if not self._minute.holds(middle_s):
            self._minute = load.minute_at(middle_s, self.plant, self.site, self.load_noise, self._minute)
            self._air = air_at(self._minute.start_s, self.site)
        return Surroundings(
            weather_at(middle_s, self.site, self.seed) if self.setup.any_follows_sun else None,
            self._air.temp_c,
            self._minute,
            self.tariff.is_cheap(self._air.local_hour),
            self.recorded.powers(time_s, dt_s) if self.recorded else None,
        )

    def _redispatch(self, meter: int) -> None:
        """Compute the powers of one home anew, at once, after a command."""
        mine = self.exchange.asks_of(meter, self.clock_s, INSTANT_S) if self.exchange.delivering else None
        around = self._surroundings(self.clock_s)
        only = slice(meter, meter + 1)
        recorded = around.recorded.of(only) if around.recorded else None
        around = around._replace(minute=around.minute.of(only), recorded=recorded)
        plant, switches, setup = one(self.plant, meter), one(self.switches, meter), one(self.setup, meter)
        home = step(plant, one(self.state, meter), switches, setup, around, mine, self.clock_s, 0.0)
        put(self.state, meter, home._replace(mean_flows=home.flows))
        self._of_this_moment.add(meter)

    def _redispatch_all(self) -> None:
        around = self._surroundings(self.clock_s)
        asks = self.exchange.asks(self.clock_s, INSTANT_S) if self.exchange.delivering else None
        self.state = step(self.plant, self.state, self.switches, self.setup, around, asks, self.clock_s, 0.0)
        self.state = self.state._replace(mean_flows=self.state.flows.copy())

    def skip_to(self, clock_s: float) -> None:
        """Move the clock on to `clock_s`, if that is later; what lies between is not simulated."""
        if clock_s > self.clock_s:
            self.clock_s = clock_s
            self._redispatch_all()

    # -- what is reported -------------------------------------------------------------------------------------------

    def read(self, meter: int | None = None) -> tuple[Readings, Readings | None]:
        """Return what the meters report (all, or one), and the truth of those among them that have faults.

        Raised and cleared alarms become events.
        """
        self.seq += 1
        meters = self._everyone if meter is None else np.array([meter])
        values, bits = self._measure(meters, self.state.metered)
        self._note_alarms(meters, bits)
        readings = Readings(meters, self.clock_s, self.seq, values, bits)
        wrong = [row for row, number in enumerate(meters.tolist()) if number in self.faulty] if self.faulty else []
        if not wrong:
            return readings, None
        faulty = meters[wrong]
        truth, _ = self._measure(faulty, self.state.registers, self._token_error_utok)
        for row in wrong:
            column = values[:, row].copy()
            self.faulty[int(meters[row])].read(column, self.clock_s, self.seq)
            values[:, row] = column
        return readings, Readings(faulty, self.clock_s, self.seq, truth, bits[wrong])

    def _measure(self, meters: Ints, registers: Floats, token_error_utok: Floats | None = None) -> tuple[Floats, Ints]:
        """Return stacked readings (quantities, m) and alarm bits (m,) of some meters that count `registers` (12, n)."""
        plant, state, switches, setup = self.plant, self.state, self.switches, self.setup
        exchange = self.exchange
        earned, spent, pending = exchange.earnings_utok, exchange.spending_utok, exchange.pending_counts()
        if token_error_utok is not None:
            earned, spent = earned - token_error_utok[0], spent - token_error_utok[1]
        judged = self._judge.judge
        if len(meters) != len(self.ids):
            judged = judge
            chosen = slice(meters[0], meters[0] + 1) if len(meters) == 1 else meters  # a slice need not copy
            plant, state, switches, setup = (
                take(plant, chosen), take(state, chosen), take(switches, chosen), take(setup, chosen)
            )  # fmt: skip
            registers, earned, spent, pending = registers[:, chosen], earned[chosen], spent[chosen], pending[chosen]
        faulty = misread = nobody = np.zeros(len(meters), np.bool_)
        if self.faulty:
            faulty = np.array([meter in self.faulty for meter in meters.tolist()])
            misread = np.array([meter in self.faulty and self.faulty[meter].misreads for meter in meters.tolist()])
        storage_failed = ~nobody if self.storage_failed else nobody
        verdicts = judged(view_of(state, switches, setup, faulty, misread, storage_failed))
        price_utok, quotes = exchange.current_price_utok(self.clock_s), self.tariff.quote(self.clock_s)
        standing = Standing(earned, spent, pending, price_utok * 1e-6, quotes.ask_utok * 1e-6)
        mains = mains_at(self.clock_s, self.seed, self._air.temp_c, self.seq)
        measured = measure(plant, state, switches, setup, registers, standing, mains, verdicts.status)
        return stack(measured), verdicts.alarms

    def _note_alarms(self, meters: Ints, bits: Ints) -> None:
        before = self._alarms if meters is self._everyone else self._alarms[meters]
        changed = bits != before
        if not np.count_nonzero(changed):
            return
        for row in np.flatnonzero(changed).tolist():
            now, then, meter = int(bits[row]), int(before[row]), int(meters[row])
            for event_type, which in (("alarm_raised", now & ~then), ("alarm_cleared", then & ~now)):
                for alarm in alarms_of(which):
                    self.note(event_type, meter, code=alarm.code, level=alarm.level, msg=alarm.msg)
        self._alarms[meters] = bits

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
        return {self.ids[meter]: self._describe(meter) for meter in self._unsaved | self.faulty.keys()}

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
        for meter, name in enumerate(self.ids):
            saved = meters.get(name, {})
            values = {key: value for key, value in saved.get("switches", {}).items() if key in SWITCHES}
            self.switch_values[meter] |= values | {"time_acceleration": plain["time_acceleration"]}
            self.scenarios[meter] = saved.get("scenario", NO_SCENARIO)
            if saved.get("timeline"):
                self.timeline.load(meter, saved["timeline"])
            if is_active(faults := _faults_in(self.switch_values[meter])):
                since_s = float(saved.get("faulty_since_s", self.clock_s))
                self.faulty[meter] = FaultyMeter(faults, since_s, self.plant.key[meter : meter + 1], saved.get("stuck"))
        self.switches = _switch_arrays(self.switch_values)
        self.setup = setup_of(self.plant, self.switches)
        self._market_open = bool(self.switches.market_enabled.any())
        self._count_apart()
        surplus = self.exchange.surplus_state()
        for name, array in self._kept_arrays(surplus).items():
            for meter, (saved_arrays, column) in columns.items():
                if name in saved_arrays and saved_arrays[name].shape[:-1] == array.shape[:-1]:
                    array[..., meter] = saved_arrays[name][..., column]
        if not self.faulty and (self.state.metered == self.state.registers).all():
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
            "alarms": self._alarms,
            "token_error_utok": self._token_error_utok,
        }
        return ours | {
            f"surplus_{name}": leaf for name, leaf in surplus._asdict().items() if isinstance(leaf, np.ndarray)
        }

    def _describe(self, meter: int) -> dict[str, Any]:
        described: dict[str, Any] = {"switches": self.switch_values[meter], "scenario": self.scenarios[meter]}
        if meter in self.faulty:
            described |= {"faulty_since_s": self.faulty[meter].since_s, "stuck": self.faulty[meter].stuck}
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

    def _plain_switches(self, meter: int) -> dict[str, SwitchValue]:
        """Return the switches of a meter that nobody has touched; one with a recorded series follows that."""
        values = default_switches(self.ids[meter])
        return values | {"sun_mode": "auto"} if meter in self._own_data else values

    def _change(self, meter: int, values: Mapping[str, SwitchValue]) -> dict[str, SwitchValue]:
        """Set what differs, with the consequences of each change; return the previous values of what changed."""
        self._unsaved.add(meter)
        mine = self.switch_values[meter]
        changed = {name: mine[name] for name, value in values.items() if mine[name] != value}
        mine.update({name: values[name] for name in changed})
        for name in changed.keys() & _CODED:
            getattr(self.switches, name)[meter] = _CODED[name](values[name])
        self.setup = setup_of(self.plant, self.switches)
        if "time_acceleration" in changed:
            for other in self.switch_values:
                other["time_acceleration"] = values["time_acceleration"]
        for name in changed:
            consequence = self._consequences().get(name)
            if consequence is not None:
                consequence(meter, values[name])
        return changed

    def _consequences(self) -> Mapping[str, Callable[[int, Any], None]]:
        return {
            "grid_connected": self._grid_changed,
            "market_enabled": self._market_changed,
            "ev_plug": self._plug_changed,
            "fault_inject": self._faults_changed,
        }

    def _grid_changed(self, meter: int, connected: bool) -> None:
        if not connected:
            self.exchange.grid_lost(meter, self.clock_s)
        self.note("grid_reconnect" if connected else "grid_disconnect", meter)

    def _market_changed(self, meter: int, opened: bool) -> None:
        was_open, self._market_open = self._market_open, bool(self.switches.market_enabled.any())
        if opened and not was_open:
            self._let_bots_act()
        if not opened:
            self.exchange.market_closed(meter, self.clock_s)

    def _plug_changed(self, meter: int, plugged: bool) -> None:
        if plugged:
            self.state.ev_session_kwh[meter] = 0.0

    def _faults_changed(self, meter: int, value: Mapping[str, object]) -> None:
        self.faulty.pop(meter, None)
        if is_active(value):
            self._count_apart()
            self.faulty[meter] = FaultyMeter(value, self.clock_s, self.plant.key[meter : meter + 1])

    def _count_apart(self) -> None:
        """Let what the meters count be another array than the truth: there is a fault, or there was one."""
        if self.state.metered is self.state.registers:
            self.state = self.state._replace(metered=self.state.registers.copy())

    def note(self, event_type: str, meter: int, **data: object) -> None:
        """Add an event."""
        self._events.append(Event(event_type, self.clock_s, meter, data))


def _faults_in(values: Mapping[str, SwitchValue]) -> Mapping[str, object]:
    faults = values["fault_inject"]
    return faults if isinstance(faults, dict) else {}


def default_switches(meter_id: str) -> dict[str, SwitchValue]:
    """Return the switches of a meter that nobody has touched; all but the demo meter follow the real sun."""
    values = {name: switch.default for name, switch in SWITCHES.items()}
    return values if meter_id == DEMO_METER else values | {"sun_mode": "auto"}


def _switch_arrays(values: Sequence[Mapping[str, Any]]) -> Switches:
    def column(name: str) -> NDArray[Any]:
        code = _CODED[name]
        return np.array([code(mine[name]) for mine in values])

    return Switches(*map(column, Switches._fields))


_CODED: Mapping[str, Callable[[Any], Any]] = {
    "daytime": np.bool_,
    "grid_connected": np.bool_,
    "market_enabled": np.bool_,
    "battery_reserve_pct": np.float64,
    "manual_load_delta_kw": np.float64,
    "sun_cloud_factor": np.float64,
    "ev_plug": np.bool_,
    "ev_mode": lambda mode: np.int8(EV_MODES.index(mode)),
    "sun_mode": lambda mode: np.int8(SUN_MODES.index(mode)),
}
"""What a value of a switch is in its array."""


def _start_state(plant: Plant) -> State:
    n = len(plant.key)
    zeros, registers = np.zeros(n), np.zeros((len(Register), n))
    return State(
        sun_level=zeros.copy(),
        base_load_kw=np.full(n, DEMO_BASE_LOAD_KW),
        stored_kwh=plant.battery_kwh * START_SOC,
        ev_stored_kwh=plant.ev_kwh * EV_START_SOC,
        ev_session_kwh=zeros.copy(),
        irradiance_wpm2=zeros.copy(),
        pv_potential_kw=zeros.copy(),
        max_charge_kw=zeros.copy(),
        max_discharge_kw=zeros.copy(),
        appliances=np.zeros((len(Appliance), n)),
        ev_demand_kw=zeros.copy(),
        flows=np.zeros((len(Flow), n)),
        mean_flows=np.zeros((len(Flow), n)),
        registers=registers,
        metered=registers,
    )
