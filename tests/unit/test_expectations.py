"""Judging: what a meter told, beside what is expected of it."""

import pytest

from wattswap_mqtt.core.expectations import Sample, judge, look_up
from wattswap_mqtt.core.scenarios import Expectation
from wattswap_mqtt.core.trace import Trace

NET = "derived.net_power_kw"


def samples(values, *, every_s=60.0, path=NET, **beside):
    """Return samples in which a quantity has these values, and import and export are counted."""
    told, imported, exported = [], 0.0, 0.0
    section, field = path.split(".")
    for number, value in enumerate(values):
        state = {"derived": {"energy_imported_kwh": imported, "energy_exported_kwh": exported}}
        state.setdefault(section, {})[field] = value
        told.append(Sample(number * every_s, (1430 + number) % 1440, {**state, "events": {}, **beside}))
        if isinstance(value, float):
            imported += max(-value, 0.0) * every_s / 3600
            exported += max(value, 0.0) * every_s / 3600
    return told


def found(expectation, told, *, noisy=False):
    finding = judge(expectation, told, noisy=noisy)
    return finding.verdict, finding.measured


def test_every_reading_of_the_window_has_to_fit():
    told = samples([-2.0, -2.04, -1.97, 5.0])
    assert found(Expectation(NET, equals=-2.0, until_s=180), told) == ("holds", "-2.04 kW")
    assert found(Expectation(NET, equals=-2.0, until_s=181), told) == ("differs", "5 kW")
    assert found(Expectation(NET, equals=-2.0, until_s=180, tolerance=0.03), told) == ("differs", "-2.04 kW")
    assert found(Expectation(NET, equals=5.0, from_s=180), told) == ("holds", "5 kW")


def test_of_a_moment_the_first_reading_counts():
    told = samples([1.0, 2.0, 3.0])
    at = {"at_once": True, "until_s": 900.0}
    assert found(Expectation(NET, equals=2.0, from_s=30.0, **at), told) == ("holds", "2 kW")
    assert found(Expectation(NET, equals=2.0, from_s=130.0, **at), told) == ("unknown", "not told")


def test_with_noise_the_mean_from_the_registers_counts_whatever_the_readings_were():
    told = samples([-1.0, -3.0] * 8)
    expected = Expectation(NET, equals=-2.0, until_s=840)
    assert found(expected, told)[0] == "differs"
    assert found(expected, told, noisy=True) == ("holds", "-1.923 kW")  # of 13 minutes, 7 at 1 kW
    assert found(Expectation(NET, equals=-2.6, until_s=840), told, noisy=True)[0] == "differs"
    every_other = told[::2]
    assert [sample.told["derived"]["net_power_kw"] for sample in every_other] == [-1.0] * 8
    assert found(Expectation(NET, equals=-2.0, as_mean=True), every_other) == ("holds", "-2 kW")


def test_what_no_register_counts_is_averaged_where_that_is_asked_for():
    told = samples([49.9, 50.2], path="measurements.frequency")
    expected = Expectation("measurements.frequency", equals=50.05, tolerance_noisy=0.01)
    assert found(expected, told, noisy=True)[0] == "differs"
    mean = Expectation("measurements.frequency", equals=50.05, tolerance=0.01, as_mean=True)
    assert found(mean, told) == ("holds", "50.05 Hz")


def test_words_and_flags_are_compared():
    path = "derived.system_status"
    told = samples(["fine", "fine", "broken"], path=path)
    assert found(Expectation(path, equals="fine", until_s=120), told) == ("holds", "fine")
    assert found(Expectation(path, equals="fine"), told) == ("differs", "fine / broken")
    plugged = samples([True, True], path="ev.plugged")
    assert found(Expectation("ev.plugged", equals=True), plugged) == ("holds", "yes")
    assert found(Expectation("ev.plugged", equals=1.0), plugged)[0] == "holds"
    assert found(Expectation("ev.plugged", equals=False), plugged) == ("differs", "yes")


def test_bounds():
    told = samples([1.0, 2.0])
    assert found(Expectation(NET, minimum=1.0, maximum=2.0), told) == ("holds", "1 … 2 kW")
    assert found(Expectation(NET, minimum=1.1), told)[0] == "differs"
    assert found(Expectation(NET, maximum=1.9), told)[0] == "differs"


@pytest.mark.parametrize(
    ("values", "trend"),
    [([1.0, 0.5, 2.0], "rises"), ([2.0, 3.0, 1.0], "falls"), ([1.0, 1.001, 1.0], "steady"), ([1.0], None)],
)
def test_trends(values, trend):
    for wanted in ("rises", "falls", "steady"):
        verdict, measured = found(Expectation(NET, trend=wanted), samples(values))
        assert verdict == ("unknown" if trend is None else "holds" if wanted == trend else "differs")
    assert measured == f"{values[0]:g} → {values[-1]:g} kW"


def test_growth_by_the_hour():
    told = samples([1.0, 1.5, 2.0], every_s=900, path="derived.pv_energy_kwh")
    assert found(Expectation("derived.pv_energy_kwh", rate_per_hour=2.0, until_s=9000), told) == (
        "holds",
        "+2.000 kWh/h",
    )
    assert found(Expectation("derived.pv_energy_kwh", rate_per_hour=1.9, until_s=9000), told)[0] == "differs"
    assert found(Expectation("derived.pv_energy_kwh", rate_per_hour=2.0, until_s=800), told)[0] == "unknown"


def test_ratios_to_the_truth():
    truth = {"derived": {"net_power_kw": -2.0}}
    told = samples([-2.2, -2.21], truth=truth)
    ratio = {"tolerance": 0.01}
    assert found(Expectation(NET, ratio_to_truth=1.1, **ratio), told) == ("holds", "1.105 of the truth")
    assert found(Expectation(NET, ratio_to_truth=1.0, **ratio), told)[0] == "differs"
    silent = samples([-2.2], switches={"fault_inject": {"bias_pct": 10}})
    assert found(Expectation(NET, ratio_to_truth=1.1), silent) == ("unknown", "the truth is not told")
    assert found(Expectation(f"truth.{NET}", equals=-2.0), silent) == ("unknown", "not told")
    sound = samples([-2.2], switches={"fault_inject": {}})
    assert found(Expectation(f"truth.{NET}", equals=-2.2), sound)[0] == "holds"


def test_a_time_of_the_day_may_lie_around_midnight():
    told = samples([float(number) for number in range(30)])  # from ten to twelve on
    late = Expectation(NET, minimum=5.0, maximum=19.0, until_s=1800, clock=(1435, 9))
    assert found(late, told) == ("holds", "5 … 19 kW")
    assert found(Expectation(NET, minimum=0.0, until_s=1800, clock=(600, 660)), told)[0] == "unknown"


def test_paths_lead_to_whatever_is_told():
    told = {
        "events": {"trade": 3},
        "alarms": [{"code": "grid_limit"}],
        "orders": {"sale": {"status": "executed", "reason": None}},
        "switches": {"daytime": True},
    }
    assert look_up(told, "events.trade") == 3
    assert look_up(told, "events.started") == 0
    assert look_up(told, "alarms.grid_limit") is True
    assert look_up(told, "alarms.storage") is False
    assert look_up(told, "orders.sale.status") == "executed"
    assert look_up(told, "orders.sale.reason") is None
    assert look_up(told, "orders.other.status") is None
    assert look_up(told, "switches.daytime") is True
    assert look_up(told, "pv.pv_power_kw") is None


def state(timestamp: str, **more):
    return {"timestamp": timestamp, "tz": "Europe/Berlin", "derived": {}, **more}


def test_a_trace_knows_beside_each_state_what_came_with_it():
    trace = Trace(1_000_000_000.0)  # 2001-09-09T01:46:40Z
    trace.switches({"daytime": True})
    trace.state(state("2001-09-09T03:46:30+02:00"))
    assert trace.samples == [], "it was before the start"
    trace.state(state("2001-09-09T03:46:40+02:00", published_at="2026-01-01T00:00:00Z"))
    trace.event({"event_type": "scenario_event", "order": "sale", "order_id": "m.1"})
    trace.order({"order_id": "m.1", "status": "accepted"})
    trace.order({"order_id": "m.0", "status": "executed"})
    trace.state(state("2001-09-09T03:47:40+02:00", published_at="2026-01-01T00:00:06Z"))
    trace.order({"order_id": "m.1", "status": "executed"})
    trace.state(state("2001-09-09T03:46:50+02:00"))
    trace.state(state("2001-09-09T02:00:00+02:00"), state("2001-09-09T01:48:40+00:00", soc=5))
    first, second, third = trace.samples
    assert [sample.after_s for sample in trace.samples] == [0.0, 60.0, 120.0] == [0.0, 60.0, trace.after_s]
    assert (first.minute_of_day, third.minute_of_day) == (3 * 60 + 46, 3 * 60 + 48)
    assert first.told["orders"] == {"sale": {"order_id": "m.1", "status": "accepted"}}
    assert second.told["orders"]["sale"]["status"] == "executed"
    assert look_up(first.told, "events.scenario_event") == 1
    assert look_up(second.told, "clock.pace") == pytest.approx(10.0)
    assert look_up(third.told, "truth.soc") == 5
