"""Each fault's formula: what the meter says and counts, and the truth beside it."""

import json

import numpy as np
import pytest
from homes import community, counted, encoded, home, market_order, reading, restarted, set_home, true_reading

from wattswap_mqtt.contract.snapshots import SnapshotEncoder
from wattswap_mqtt.core import faults
from wattswap_mqtt.core.quantities import QUANTITIES
from wattswap_mqtt.core.records import Register

POWERS = (
    "measurements.p_active",
    "measurements.apparent_power",
    "pv.pv_power_kw",
    "grid.grid_import_kw",
    "grid.grid_export_kw",
    "derived.net_power_kw",
)
TRUE = (
    "measurements.v_rms",
    "measurements.i_rms",
    "measurements.power_factor",
    "measurements.frequency",
    "battery.soc_pct",
    "loads.load_power_kw",
)
METERED = ("imported", "exported", "pv", "co2_emitted", "co2_saved", "co2_avoided")
SELLING = {"soc": 60, "load": 2.0, "daytime": True, "market_enabled": True}
BUYING = {"soc": 10, "load": 4.5, "daytime": True}


def faulty(value: dict, **setup):
    return home(**setup, fault_inject=faults.parse(value))


def truth(homes, meter: int = 0) -> dict[str, float]:
    return {register.name.lower(): float(homes.state.registers[register, meter]) for register in Register}


def both(homes):
    """Return what a meter says and what is true, of the same reading."""
    said, true = reading(homes), true_reading(homes)
    return said, true


def gained(homes, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """Return what the meter counts in some time, and what is true."""
    before, true_before = counted(homes), truth(homes)
    homes.advance(seconds)
    after, true_after = counted(homes), truth(homes)
    return {k: after[k] - before[k] for k in after}, {k: true_after[k] - true_before[k] for k in after}


@pytest.mark.parametrize("setup", [SELLING, BUYING], ids=["exporting", "importing"])
@pytest.mark.parametrize(("bias", "factor"), [(10, 1.10), (-50, 0.5), (-100, 0.0), (0.5, 1.005), (1000, 11.0)])
def test_a_bias_multiplies_the_powers_and_what_is_counted(setup, bias, factor):
    biased = faulty({"bias_pct": bias}, **setup)
    said, true = both(biased)
    for name in POWERS:
        assert said[name] == pytest.approx(factor * true[name], abs=0.0006 * max(factor, 1.0)), name
    for name in ("measurements.power_factor", "battery.soc_pct", "loads.load_power_kw", "measurements.frequency"):
        assert said[name] == pytest.approx(true[name], abs=0.01), name
    counts, truly = gained(biased, 30)
    for name in counts:
        assert counts[name] == pytest.approx(truly[name] * (factor if name in METERED else 1.0), rel=1e-9), name


def test_what_a_bias_does_not_touch_is_the_truth():
    readings, true = faulty({"bias_pct": 10}, **BUYING).read()
    for row, path in enumerate(QUANTITIES):
        if path.dotted in TRUE:
            assert readings.values[row, 0] == true.values[row, 0], path.dotted


def test_under_a_bias_the_identities_hold_in_the_truth_and_power_disagrees_with_v_i_pf():
    said, true = both(faulty({"bias_pct": 10}, **BUYING))
    for values, factor in ((true, 1.0), (said, 1.1)):
        v_i_pf = values["measurements.v_rms"] * values["measurements.i_rms"] * values["measurements.power_factor"]
        assert abs(values["measurements.p_active"]) == pytest.approx(factor * v_i_pf / 1000.0, abs=0.005)
    p, q, s = (true[f"measurements.{name}"] for name in ("p_active", "q_reactive", "apparent_power"))
    assert s == pytest.approx(np.hypot(p, q), abs=0.0015)


@pytest.mark.parametrize("bias", [10, -50])
def test_a_bias_earns_and_costs_tokens_that_the_truth_would_not(bias):
    biased = faulty({"bias_pct": bias}, **SELLING)
    said, true = both(biased)
    biased.advance(360)
    later, true_later = both(biased)
    earned = later["derived.token_earnings_apt"] - said["derived.token_earnings_apt"]
    truly = true_later["derived.token_earnings_apt"] - true["derived.token_earnings_apt"]
    assert truly == pytest.approx(0.2 * 0.08, abs=2e-6)
    assert earned == pytest.approx((1 + bias / 100) * truly, abs=3e-6)


def test_a_biased_meter_never_sells_more_of_an_order_than_was_ordered():
    biased = faulty({"bias_pct": 50}, soc=60, load=2.0, daytime=True)
    order = biased.place(0, market_order("sell", 0.3, 360))
    biased.advance(400)
    assert order.status == "executed"
    assert order.filled_mwh == 300_000


def test_registers_do_not_step_back_when_a_fault_ends():
    for value in (
        {"bias_pct": 100},
        {"bias_pct": -90},
        {"ct_reversed": True},
        {"noise_pct": 50},
        {"stuck": ["energy_imported_kwh"]},
    ):
        ending = faulty(value, **BUYING)
        ending.advance(60)
        before = reading(ending)
        ending.set_switches(0, {"fault_inject": {}})
        after = reading(ending)
        assert ending.read()[1] is None
        for name in before:
            if name.endswith("_energy_kwh") or name.startswith("derived.energy_"):
                assert after[name] >= before[name], (value, name)
        ending.advance(10)
        assert reading(ending)["derived.energy_imported_kwh"] > before["derived.energy_imported_kwh"]


def test_what_a_biased_meter_counted_stays_counted():
    ending = faulty({"bias_pct": 100}, **BUYING)
    ending.advance(60)
    ahead = counted(ending)["imported"] - truth(ending)["imported"]
    assert ahead > 0.005
    ending.set_switches(0, {"fault_inject": {}})
    ending.advance(600)
    assert counted(ending)["imported"] - truth(ending)["imported"] == pytest.approx(ahead)


@pytest.mark.parametrize("key", ["noise_pct", "sigma_pct"])
def test_noise_scatters_the_powers_around_the_truth(key):
    noisy = faulty({key: 5}, **BUYING)
    ratios = []
    for _ in range(300):
        noisy.advance(1)
        said, true = both(noisy)
        ratios.append(said["measurements.p_active"] / true["measurements.p_active"])
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.01)
    assert np.std(ratios) == pytest.approx(0.05, abs=0.01)
    counts, truly = gained(noisy, 300)
    assert counts["imported"] == pytest.approx(truly["imported"], rel=0.02)


def test_a_drift_grows_by_the_hour():
    drifting = faulty({"drift_pct_per_hour": 6}, **BUYING, time_acceleration=60.0)
    begin_s = drifting.meters.faulty[0].since_s
    for _ in range(3):
        drifting.advance(1200)
        said, true = both(drifting)
        factor = 1 + 0.06 * (drifting.clock_s - begin_s) / 3600
        assert said["derived.net_power_kw"] == pytest.approx(factor * true["derived.net_power_kw"], abs=0.001)
    assert factor == pytest.approx(1.06, abs=0.001)


def test_a_drift_downwards_ends_at_nothing_and_registers_stand():
    drifting = faulty({"drift_pct_per_hour": -100}, **BUYING, time_acceleration=60.0)
    drifting.advance(5400)
    said, before = reading(drifting), counted(drifting)
    assert said["measurements.p_active"] == 0.0
    assert said["measurements.flow_dir"] == "idle"
    drifting.advance(600)
    assert counted(drifting)["imported"] == before["imported"]


def test_stuck_fields_keep_their_first_value_and_the_others_move_on():
    stuck = faulty(
        {"stuck": ["p_active", "system_status", "energy_imported_kwh", "battery.soc_pct"]},
        soc=60,
        load=2.0,
    )
    first = reading(stuck)
    set_home(stuck, 0, load=5.0)
    stuck.advance(120)
    said, true = both(stuck)
    for name in ("measurements.p_active", "battery.soc_pct", "derived.energy_imported_kwh"):
        assert said[name] == first[name], name
        assert true[name] != first[name], name
    assert said["loads.load_power_kw"] == 5.0


@pytest.mark.parametrize(
    "name",
    [
        "measurements.v_rms", "measurements.p_active", "measurements.flow_dir", "pv.pv_temp_c", "battery.soc_pct",
        "loads.appliance.ev_charger_kw", "ev.plugged", "ev.session_energy_kwh", "derived.self_consumption_pct",
        "derived.time_to_empty_hours", "derived.energy_imported_kwh", "derived.status_badge", "market.pending_orders",
    ],
)  # fmt: skip
def test_any_field_can_be_stuck(name):
    stuck = faulty({"stuck": [name]}, soc=60, load=2.0, noise=1.0)
    first = reading(stuck)[name]
    stuck.set_switches(0, {"daytime": True, "ev_plug": True, "ev_mode": "fast", "market_enabled": True})
    stuck.advance(20)
    assert reading(stuck)[name] == pytest.approx(first, nan_ok=True)
    again = restarted(stuck)
    assert reading(again)[name] == pytest.approx(first, nan_ok=True)


def test_spikes_come_as_often_as_asked_and_read_5_to_10_times_too_high():
    spiky = faulty({"spike_prob": 0.3}, **BUYING)
    ratios = []
    for _ in range(150):
        said, true = both(spiky)
        ratios.append(said["measurements.p_active"] / true["measurements.p_active"])
        assert said["derived.net_power_kw"] == said["measurements.p_active"]
    spikes = [ratio for ratio in ratios if ratio > 1.01]
    assert len(spikes) / 150 == pytest.approx(0.3, abs=0.1)
    assert 4.99 < min(spikes) < 6.0
    assert 9.0 < max(spikes) < 10.01
    counts, truly = gained(spiky, 30)
    assert counts["imported"] == pytest.approx(truly["imported"])


@pytest.mark.parametrize(("key", "method"), [("dropout_prob", "drops"), ("duplicate_prob", "repeats")])
def test_messages_are_lost_or_doubled_as_often_as_asked(key, method):
    for probability in (0.0, 0.25, 1.0):
        meter = faulty({key: probability, "offline": True}, load=2.0).meters.faulty[0]
        happened = [getattr(meter, method)(seq) for seq in range(1000)]
        assert np.mean(happened) == pytest.approx(probability, abs=0.05 if 0 < probability < 1 else 0)


def test_rollover_reads_the_energy_registers_modulo():
    rolling = faulty({"register_rollover_kwh": 0.1}, soc=10, load=2.0, time_acceleration=60.0)
    for _ in range(12):
        rolling.advance(60)
        said, true = both(rolling)
        true_mwh = round(true["derived.energy_imported_kwh"] * 1e6)
        assert round(said["derived.energy_imported_kwh"] * 1e6) == true_mwh % 100_000
        assert said["derived.energy_imported_kwh"] < 0.1
    assert true["derived.energy_imported_kwh"] > 0.35
    rolling.set_switches(0, {"fault_inject": {}})
    assert reading(rolling)["derived.energy_imported_kwh"] == true["derived.energy_imported_kwh"]


@pytest.mark.parametrize(("kwh", "reads"), [(0.0999996, 0.0), (0.3, 0.0), (0.2999994, 0.099999), (0.05, 0.05)])
def test_a_register_never_reads_the_rollover_itself(kwh, reads):
    rolling = faulty({"register_rollover_kwh": 0.1}, soc=10, load=2.0)
    rolling.state.metered[Register.IMPORTED] = kwh
    assert reading(rolling)["derived.energy_imported_kwh"] == reads


@pytest.mark.parametrize("setup", [SELLING, BUYING], ids=["exporting", "importing"])
def test_a_reversed_transformer_swaps_import_and_export(setup):
    swapped = faulty({"ct_reversed": True}, **setup)
    said, true = both(swapped)
    assert said["measurements.p_active"] == -true["measurements.p_active"] != 0.0
    assert said["derived.net_power_kw"] == -true["derived.net_power_kw"]
    assert (said["grid.grid_import_kw"], said["grid.grid_export_kw"]) == (
        true["grid.grid_export_kw"],
        true["grid.grid_import_kw"],
    )
    assert {said["measurements.flow_dir"], true["measurements.flow_dir"]} == {"import", "export"}
    counts, truly = gained(swapped, 30)
    assert (counts["imported"], counts["exported"]) == pytest.approx((truly["exported"], truly["imported"]))
    assert counts["pv"] == pytest.approx(truly["pv"])
    assert counts["co2_emitted"] == pytest.approx(0.45 * counts["imported"])
    assert counts["co2_avoided"] == pytest.approx(0.45 * counts["exported"])


def test_faults_combine():
    combined = faulty({"bias_pct": 10, "ct_reversed": True, "stuck": ["v_rms"]}, **BUYING)
    said, true = both(combined)
    assert said["derived.net_power_kw"] == pytest.approx(-1.1 * true["derived.net_power_kw"], abs=1e-3)
    assert said["grid.grid_export_kw"] == pytest.approx(0.55, abs=1e-3)


def test_a_skewed_clock_shifts_the_timestamp_only():
    skewed = faulty({"clock_skew_s": -90}, load=2.0)
    readings, true = skewed.read()
    encoder = SnapshotEncoder(skewed.ids, "UTC", "1")
    (wrong,) = (
        json.loads(m) for m in encoder.encode(readings, 0.0, {}, {0: skewed.meters.faulty[0].number("clock_skew_s")})
    )
    (right,) = (json.loads(m) for m in encoder.encode(true, 0.0, {}))
    assert (wrong.pop("timestamp"), right.pop("timestamp")) == (
        "2026-06-17T09:58:36.000+00:00",
        "2026-06-17T10:00:06.000+00:00",
    )
    assert wrong == right


def test_an_offline_meter_goes_on_living():
    silent = faulty({"offline": True}, soc=60, load=2.0)
    assert silent.meters.faulty[0].offline
    counts, truly = gained(silent, 10)
    assert counts == truly
    assert counts["load"] > 0.0


@pytest.mark.parametrize("value", [{}, {"bias_pct": 0}, {"offline": False, "stuck": []}, {"noise_pct": 0.0}])
def test_what_changes_nothing_is_no_fault(value):
    healthy = faulty(value, **BUYING)
    assert healthy.meters.faulty == {}
    assert healthy.read()[1] is None
    assert reading(healthy)["derived.system_status"] == "Self-generation covering most load"


def test_only_the_faulty_meters_have_a_truth_and_neighbours_are_untouched():
    alike = [community("demo_meter", "meter_00002", "meter_00003") for _ in range(2)]
    alike[0].set_switches(1, {"fault_inject": {"bias_pct": 50, "noise_pct": 3}})
    alike[1].set_switches(1, {})
    for street in alike:
        street.advance(30)
    with_fault, without = encoded(alike[0]), encoded(alike[1])
    assert len(with_fault) == 4
    assert (with_fault[0], with_fault[2]) == (without[0], without[2])
    assert with_fault[1] != without[1]
    told, plain = json.loads(with_fault[3]), json.loads(without[1])
    for name in ("measurements", "pv", "battery", "loads", "ev", "grid"):
        assert told[name] == plain[name], name  # the truth is as if there were no fault


def test_a_fault_that_changes_begins_anew():
    drifting = faulty({"drift_pct_per_hour": 60}, **BUYING)
    drifting.advance(60)
    drifting.set_switches(0, {"fault_inject": {"drift_pct_per_hour": 60, "bias_pct": 10}})
    said, true = both(drifting)
    assert said["derived.net_power_kw"] == pytest.approx(1.1 * true["derived.net_power_kw"], abs=1e-3)
    drifting.set_switches(0, {"market_enabled": True})  # another switch does not touch it
    assert drifting.meters.faulty[0].since_s == drifting.clock_s
