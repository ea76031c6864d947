"""The seed's twelve demo scenarios: every switch, every figure, the status line, and what becomes of the registers."""

import json

import pytest

from tests.outside import DEFAULTS, seconds_between, serving
from tests.running import wait_until

METER = "wattswap/meter/demo_meter"
FIGURES = {
    "pv": ("pv", "pv_power_kw"),
    "battery": ("battery", "battery_power_kw"),
    "ev": ("ev", "power_kw"),
    "import": ("grid", "grid_import_kw"),
    "export": ("grid", "grid_export_kw"),
    "net": ("derived", "net_power_kw"),
}
REGISTERS = {
    "pv": ("pv_energy_kwh", None),
    "battery": ("battery_discharged_kwh", "battery_charged_kwh"),
    "ev": ("ev_energy_kwh", None),
    "import": ("energy_imported_kwh", None),
    "export": ("energy_exported_kwh", None),
    "net": ("energy_exported_kwh", "energy_imported_kwh"),
}
"""What grows, less what grows, gives the mean of each figure."""
WITHIN_KW = 0.05
WITHIN_KW_WITH_NOISE = 0.5

# name, switches that differ, (pv, battery, ev, import, export, net) in kW, and the Status line
SCENARIOS = [
    ("nighttime-baseline", {}, (0, 0, 0, 2, 0, -2), "Grid-dependent consumption"),
    ("daytime-pv", {"daytime": True}, (4, 0, 0, 0.5, 0, -0.5), "Self-generation covering most load"),
    (
        "battery-management",
        {"daytime": True, "battery_reserve_pct": 50},
        (4, -1, 0, 0.5, 0, -0.5),
        "Energy storage building reserves",
    ),
    ("battery-backup", {}, (0, 2, 0, 0, 0, 0), "Battery providing backup power"),
    (
        "market-selling",
        {"daytime": True, "market_enabled": True},
        (4, 0, 0, 0, 1.5, 1.5),
        "Prosumer actively selling surplus",
    ),
    ("market-buying", {"market_enabled": True}, (0, 2, 0, 0, 0, 0), "Smart purchasing to maintain reserves"),
    (
        "island-mode",
        {"grid_connected": False},
        (0, 2, 0, 0, 0, 0),
        "Off-grid operation, vulnerable to battery depletion",
    ),
    (
        "full-optimization",
        {"daytime": True, "market_enabled": True, "battery_reserve_pct": 50},
        (4, -1, 0, 0, 0, 0),
        "Optimal prosumer operation",
    ),
    ("grid-failure", {"grid_connected": False, "market_enabled": True}, (0, 2, 0, 0, 0, 0), "Emergency backup mode"),
    (
        "load-spike",
        {"daytime": True, "manual_load_delta_kw": 2.0},
        (4, 2, 0, 2, 0, -2),
        "Testing load response and battery buffering",
    ),
    (
        "ev-fast-charging",
        {"daytime": True, "ev_plug": True, "ev_mode": "fast"},
        (4, 0, 3, 1, 0, -1),
        "EV fast charging from solar",
    ),
    (
        "sensor-bias",
        {"daytime": True, "fault_inject": {"bias_pct": 10}},
        (4, 0, 0, 0.5, 0, -0.5),
        "Fault simulation for testing diagnostics",
    ),
]
NAMES = [name for name, *_ in SCENARIOS]


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """A system without noise, in whatever state the tests before have left it."""
    with serving(tmp_path_factory.mktemp("quiet"), "--load-noise", "0", "--publish-interval", "0.1") as api:
        yield api


def figures_of(state):
    return [state[section][field] for section, field in FIGURES.values()]


def assert_as_documented(api, name, changed, figures, status):
    """Look at once: there is nothing to be waited for."""
    state, truth = api.snapshot(), api.truth()
    assert figures_of(truth) == pytest.approx(figures, abs=WITHIN_KW)
    assert state["derived"]["system_status"] == status
    switches = api.get("/control/switches")
    assert {name: switches[name] for name in DEFAULTS} == DEFAULTS | changed
    assert api.get("/meters")["meters"][0]["scenario"] == name
    if "fault_inject" in changed:
        for figure in (FIGURES["pv"], FIGURES["import"], FIGURES["net"]):
            section, field = figure
            assert state[section][field] == pytest.approx(1.1 * truth[section][field], abs=0.002)


@pytest.mark.parametrize(("name", "changed", "figures", "status"), SCENARIOS, ids=NAMES)
def test_scenarios_over_rest(api, name, changed, figures, status):
    assert api.post(f"/scenarios/{name}") == {"status": "ok", "meter_id": "demo_meter", "scenario": name}
    assert_as_documented(api, name, changed, figures, status)


@pytest.fixture
def listener(api, make_probe):
    probe = make_probe(api.broker)
    probe.subscribe(f"{METER}/#")
    return probe


@pytest.mark.parametrize(("name", "changed", "figures", "status"), SCENARIOS, ids=NAMES)
def test_scenarios_over_mqtt(listener, name, changed, figures, status):
    listener.publish(f"{METER}/scenario/set", json.dumps({"value": name, "id": "mine"}))
    ack = listener.wait_for_json(f"{METER}/ack", lambda ack: ack["id"] == "mine")
    assert (ack["command"], ack["status"], ack["result"]) == ("scenario/set", "ok", name)
    state = json.loads(listener.latest(f"{METER}/state"))
    truth = json.loads(listener.latest(f"{METER}/truth") or "null") or state
    assert figures_of(truth) == pytest.approx(figures, abs=WITHIN_KW)
    assert state["derived"]["system_status"] == status
    switches = json.loads(listener.latest(f"{METER}/switches"))
    assert {name: switches[name] for name in DEFAULTS} == DEFAULTS | changed
    assert listener.latest(f"{METER}/scenario") == name.encode()


@pytest.mark.timeout(300)
def test_the_quarter_hour_means_of_all_scenarios_with_noise(tmp_path):
    with serving(tmp_path, "--publish-interval", "0.1") as api:
        for name, _, figures, status in SCENARIOS:
            api.post(f"/scenarios/{name}")
            assert api.snapshot()["derived"]["system_status"] == status
            # a second too many is a quarter of an hour; with "market-buying" the battery is at its reserve after two
            api.switch("time_acceleration", 100 if name == "market-buying" else 900)
            first = api.truth()
            wait_until(lambda first=first: seconds_between(first, api.truth()) >= 900, "a quarter of an hour is over")
            last = api.truth()
            hours = seconds_between(first, last) / 3600
            grown = {
                field: last["derived"][field] - value for field, value in first["derived"].items() if "_kwh" in field
            }
            means = [(grown[plus] - grown.get(minus, 0)) / hours for plus, minus in REGISTERS.values()]
            assert means == pytest.approx(figures, abs=WITHIN_KW_WITH_NOISE), name


def hurry(api, seconds, acceleration=600):
    """Let simulated time pass, and return the snapshots before and after."""
    first = api.snapshot()
    api.switch("time_acceleration", acceleration)
    last = api.snapshot_where(lambda state: seconds_between(first, state) >= seconds, "time has passed")
    api.switch("time_acceleration", 1)
    return first["derived"], last["derived"], first["battery"]["soc_pct"], last["battery"]["soc_pct"]


def test_energies_tokens_and_co2_of_the_scenarios(api):
    api.post("/scenarios/nighttime-baseline")
    first, last, *_ = hurry(api, 300)
    assert last["energy_imported_kwh"] - first["energy_imported_kwh"] > 0.1
    assert last["co2_emissions_kg"] > first["co2_emissions_kg"]
    assert last["energy_exported_kwh"] == first["energy_exported_kwh"]
    assert last["token_balance_apt"] == first["token_balance_apt"]

    api.post("/scenarios/battery-management")
    *_, before_pct, after_pct = hurry(api, 300)
    assert after_pct > before_pct

    api.post("/scenarios/market-selling")
    first, last, *_ = hurry(api, 300)
    exported = last["energy_exported_kwh"] - first["energy_exported_kwh"]
    assert exported > 0.1
    assert last["token_earnings_apt"] - first["token_earnings_apt"] == pytest.approx(exported * 0.08, abs=1e-4)
    assert last["co2_net_kg"] < first["co2_net_kg"]

    api.post("/scenarios/island-mode")
    first, last, before_pct, after_pct = hurry(api, 300)
    assert after_pct < before_pct
    assert last["co2_emissions_kg"] == first["co2_emissions_kg"]
    assert last["energy_imported_kwh"] == first["energy_imported_kwh"]


def test_marketplace_buying_recharges_the_battery(api):
    api.post("/scenarios/market-buying")
    api.post("/market/order", {"side": "buy", "type": "market", "quantity_kwh": 0.5, "duration_sec": 600})
    first, last, before_pct, after_pct = hurry(api, 120, 60)  # after ten minutes what was bought is used
    assert after_pct > before_pct
    assert last["token_spending_apt"] > first["token_spending_apt"]


def test_in_a_grid_failure_nothing_can_be_bought(api):
    api.post("/scenarios/grid-failure")
    spent = api.snapshot()["derived"]["token_spending_apt"]
    problem = api.refused("/market/order", {"side": "buy", "type": "market", "quantity_kwh": 1, "duration_sec": 600})
    assert problem["code"] == "grid_disconnected"
    assert api.snapshot()["derived"]["token_spending_apt"] == spent
