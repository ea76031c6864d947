"""The seed's endpoints, test steps and ways to start, line by line, as somebody from outside would try them."""

import re
import sys
from datetime import datetime, timedelta

import pytest

from tests.outside import DEFAULTS, Api, seconds_between, serving
from tests.processes import launch
from tests.running import wait_until
from wattswap_mqtt.config import BrokerAddress

SWITCHES = "wattswap/meter/demo_meter/switches"


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """A system without noise, in whatever state the tests before have left it."""
    with serving(tmp_path_factory.mktemp("quiet"), "--load-noise", "0", "--publish-interval", "0.1") as api:
        yield api


@pytest.fixture
def plain(api):
    """The same with the demo meter as it is at first."""
    api.post("/scenarios/none")
    return api


# -- API Endpoints ----------------------------------------------------------------------------------------------------


def test_current_snapshot(plain):
    state = plain.snapshot()
    assert state["meter_id"] == "demo_meter"
    assert state["tz"] == "Europe/Berlin"
    assert datetime.fromisoformat(state["timestamp"]).utcoffset() == timedelta(hours=2)
    sections = ("measurements", "pv", "battery", "loads", "ev", "grid", "derived", "market", "alarms", "hardware")
    assert state.keys() >= set(sections)
    assert plain.snapshot("meter_00002")["meter_id"] == "meter_00002"
    for unknown in ("nobody", "meter_00003", "a" * 65, "%2B", "a%2Fb"):
        assert plain.http.get(f"/api/v1/meter/{unknown}/snapshot").status_code == 404


def test_timeseries_of_the_last_minute(plain):
    last = plain.snapshot()
    end = datetime.fromisoformat(last["timestamp"])
    begin = end - timedelta(minutes=1)
    window = {"start": begin.isoformat(), "end": end.isoformat()}

    def rows():
        return plain.get("/meter/demo_meter/timeseries", **window)["data"]

    wait_until(lambda: rows() and seconds_between(rows()[-1], last) < 1, "the history has caught up")
    found = rows()
    times = [datetime.fromisoformat(row["timestamp"]) for row in found]
    assert times == sorted(times)
    assert begin <= times[0] <= times[-1] <= end
    assert found[-1].keys() >= {"measurements", "pv", "battery", "derived"}
    naive = {name: time.replace(tzinfo=None).isoformat() for name, time in (("start", begin), ("end", end))}
    assert plain.get("/meter/demo_meter/timeseries", **naive)["data"] == found
    [minute, *_] = plain.get("/meter/demo_meter/timeseries", **window, resolution="1m", fields="pv.pv_power_kw")["data"]
    assert minute["pv"].keys() == {"pv_power_kw"}
    swapped = {"start": window["end"], "end": window["start"]}
    for wrong in (swapped, {"start": "yesterday", "end": "now"}, {"start": window["start"]}):
        assert plain.http.get("/api/v1/meter/demo_meter/timeseries", params=wrong).status_code == 422


@pytest.mark.parametrize(
    ("switch", "value", "in_a_form", "comes_back"),
    [
        ("daytime", True, "true", True),
        ("daytime", True, "ON", True),
        ("grid_connected", False, "false", False),
        ("market_enabled", True, "True", True),
        ("battery_reserve_pct", 50, "50", 50),
        ("manual_load_delta_kw", -1.5, "-1.5", -1.5),
        ("sun_cloud_factor", 0.25, "0.25", 0.25),
        ("ev_plug", True, "1", True),
        ("ev_mode", "fast", "fast", "fast"),
        ("fault_inject", {"bias_pct": 10}, '{"bias_pct": 10}', {"bias_pct": 10}),
        ("time_acceleration", 2.0, "2.0", 2),
        ("sun_mode", "auto", "auto", "auto"),
    ],
)
def test_control_knobs_in_json_and_as_a_form(plain, switch, value, in_a_form, comes_back):
    before = plain.get("/control/switches")[switch]
    assert before != comes_back
    answer = plain.post("/control/switch", {"meter_id": "demo_meter", "switch": switch, "value": value})
    assert (answer["status"], answer["switch"], answer["value"]) == ("ok", switch, comes_back)
    assert plain.get("/control/switches")[switch] == comes_back  # the answer came after the device's ack
    plain.post("/scenarios/none")
    form = {"meter_id": "demo_meter", "switch": switch, "value": in_a_form}
    answer = plain.http.post("/api/v1/control/switch", data=form)
    assert (answer.status_code, answer.json()["value"]) == (200, comes_back)
    assert plain.get("/control/switches")[switch] == comes_back


def test_the_meter_of_a_command_is_the_demo_meter_unless_another_is_named(plain):
    plain.post("/control/switch", {"switch": "battery_reserve_pct", "value": 33})
    plain.post("/control/switch", {"meter_id": "meter_00002", "switch": "battery_reserve_pct", "value": 44})
    assert plain.get("/control/switches")["battery_reserve_pct"] == 33
    assert plain.get("/control/switches", meter_id="meter_00002")["battery_reserve_pct"] == 44


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"switch": "no_such_switch", "value": 1}, 422),
        ({"switch": "__class__", "value": 1}, 422),
        ({"switch": "battery_reserve_pct", "value": 101}, 422),
        ({"switch": "battery_reserve_pct", "value": "a lot"}, 422),
        ({"switch": "battery_reserve_pct", "value": None}, 422),
        ({"switch": "daytime"}, 422),
        ({"meter_id": "nobody", "switch": "daytime", "value": True}, 404),
        ({"meter_id": 5, "switch": "daytime", "value": True}, 422),
        ([], 422),
    ],
)
def test_a_wrong_command_changes_nothing_and_is_told(plain, body, status):
    before = plain.get("/control/switches")
    assert plain.refused("/control/switch", body)["status"] == status
    assert plain.get("/control/switches") == before


def test_all_switch_statuses_and_the_time_acceleration(plain):
    switches = plain.get("/control/switches")
    assert {name: switches[name] for name in DEFAULTS} == DEFAULTS
    assert plain.get("/control/time_acceleration") == {"time_acceleration": 1.0}
    plain.switch("time_acceleration", 60)
    assert plain.get("/control/time_acceleration") == {"time_acceleration": 60}
    first = plain.snapshot()
    plain.snapshot_where(lambda state: seconds_between(first, state) > 60, "a minute of simulated time has passed")


def test_an_order_its_status_and_its_cancellation(plain):
    order = plain.post("/market/order", {"side": "sell", "type": "market", "quantity_kwh": 1, "duration_sec": 3600})
    assert order["status"] == "accepted"
    assert 0 < order["reserved_kwh"] <= 1
    assert re.fullmatch(r"demo_meter\.\d+", order["order_id"])
    told = plain.get(f"/market/order/{order['order_id']}")
    assert told["status"] in {"accepted", "partially_filled"}
    assert plain.post("/market/cancel", {"order_id": order["order_id"]})["status"] == "cancelled"
    assert plain.get(f"/market/order/{order['order_id']}")["status"] == "cancelled"
    again = plain.refused("/market/cancel", {"order_id": order["order_id"]})
    assert (again["status"], again["code"]) == (409, "order_ended")
    second = plain.post("/market/order", {"side": "buy", "type": "buy_market", "quantity_kwh": 1, "duration_sec": 3600})
    answer = plain.http.post("/api/v1/market/cancel", params={"order_id": second["order_id"]})
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    for unknown in ("demo_meter.999999", "nobody.1", "nonsense"):
        assert plain.http.get(f"/api/v1/market/order/{unknown}").status_code == 404
        assert plain.refused("/market/cancel", {"order_id": unknown})["status"] == 404


@pytest.mark.parametrize("quantity", [0, -1, 1e308, "1e999", None, True, [1]])
def test_an_impossible_order_is_refused(plain, quantity):
    body = {"side": "sell", "type": "market", "quantity_kwh": quantity, "duration_sec": 900}
    assert plain.refused("/market/order", body)["status"] == 422


def test_health(plain):
    health = plain.get("/health")
    assert health["tick_rate"] > 0
    assert health["time_acceleration"] == 1
    assert all(isinstance(length, int) for length in health["queue_lengths"].values())
    assert health["broker"]["connected"]
    assert health["communities"]["main"]["availability"] == "online"


def test_recent_events(plain):
    plain.switch("daytime", value=True)
    mine = plain.get("/events", meter_id="demo_meter")["events"]  # the other meter may have something to tell as well
    assert {event["meter_id"] for event in mine} == {"demo_meter"}
    newest = mine[-1]
    assert (newest["event_type"], newest["switch"], newest["value"]) == ("switch_changed", "daytime", True)
    assert newest in plain.get("/events")["events"]
    assert len(plain.get("/events", limit=3)["events"]) == 3
    assert plain.get("/events", meter_id="demo_meter", limit=1)["events"] == [newest]
    assert all(event["event_type"] == "scenario_set" for event in plain.get("/events", type="scenario_set")["events"])


def test_constants(plain):
    assert plain.get("/constants") == {"co2_factor": 0.45, "token_rate": 0.08, "refresh_interval_ms": 100}


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/asyncapi.json", "/metrics"])
def test_pages_at_the_root(api, path):
    assert api.http.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/meters", "/market", "/market/orders", "/market/trades", "/scenarios", "/catalogue"])
def test_further_endpoints(api, path):
    assert api.get(path)


# -- Testing ----------------------------------------------------------------------------------------------------------


def test_the_steps_1_to_7_in_order(tmp_path):
    with serving(tmp_path, "--load-noise", "0", "--publish-interval", "0.1") as api:
        assert api.snapshot()["pv"]["pv_power_kw"] == 0

        api.post("/control/switch", {"meter_id": "demo_meter", "switch": "daytime", "value": True})
        sunny = api.snapshot_where(lambda state: state["pv"]["pv_power_kw"] == 4, "the sun has risen")

        sell = {"meter_id": "demo_meter", "side": "sell", "type": "market", "quantity_kwh": 1.5, "duration_sec": 900}
        sale = api.post("/market/order", sell)
        assert sale["status"] == "accepted"
        selling = api.snapshot()
        assert selling["grid"]["grid_export_kw"] == 5  # 4 kW of sun and 3 of the battery, less the house's 2
        assert selling["derived"]["net_power_kw"] == selling["measurements"]["p_active"] == 5
        soc_pct = selling["battery"]["soc_pct"]
        api.snapshot_where(lambda state: state["battery"]["soc_pct"] < soc_pct - 0.01, "the state of charge decreases")
        delivering = api.get(f"/market/order/{sale['order_id']}")
        assert delivering["status"] == "partially_filled"
        assert 0 < delivering["filled_kwh"] < 1.5

        api.post("/control/switch", {"meter_id": "demo_meter", "switch": "grid_connected", "value": False})
        islanded = api.snapshot()
        assert islanded["grid"]["grid_status"] == "islanded"
        assert islanded["grid"]["grid_export_kw"] == islanded["grid"]["grid_import_kw"] == 0
        ended = api.get(f"/market/order/{sale['order_id']}")
        assert (ended["status"], ended["reason"]) == ("failed", "grid_disconnected")
        assert ended["filled_kwh"] >= delivering["filled_kwh"]
        earned = islanded["derived"]["token_earnings_apt"]
        assert earned == pytest.approx(ended["filled_kwh"] * 0.08, abs=1e-6)
        assert sunny["derived"]["token_earnings_apt"] == 0

        buy = {"meter_id": "demo_meter", "side": "buy", "type": "market", "quantity_kwh": 1.5, "duration_sec": 900}
        problem = api.refused("/market/order", buy)
        assert (problem["status"], problem["code"]) == (409, "grid_disconnected")
        assert problem["order_status"] == "failed"
        assert api.get(f"/market/order/{problem['order_id']}")["status"] == "failed"
        told = [event["event_type"] for event in api.get("/events")["events"]]
        wanted = ["switch_changed", "order_accepted", "grid_disconnect", "order_failed"]
        assert [kind for kind in wanted if kind in told] == wanted
        assert api.snapshot()["derived"]["token_spending_apt"] == 0


# -- Running Locally --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("main:app", "--reload"), ("wattswap_mqtt.asgi:app",)], ids=["seed", "package"])
def test_an_asgi_server_serves_the_whole_system(tmp_path, free_port, make_probe, arguments):
    http_port, mqtt_port = free_port(), free_port()
    uvicorn = (sys.executable, "-m", "uvicorn", *arguments, "--port", str(http_port))
    process = launch(tmp_path / "data", command=uvicorn, WATTSWAP_MQTT_PORT=str(mqtt_port))
    try:
        process.wait_to_say("Application startup complete", "err")
        api = Api(f"http://127.0.0.1:{http_port}")
        with api.http:
            assert api.switch("daytime", value=True)["status"] == "ok"
            api.snapshot_where(lambda state: state["pv"]["pv_power_kw"] > 0, "the sun rises")
        probe = make_probe(BrokerAddress("127.0.0.1", mqtt_port))
        probe.subscribe(SWITCHES)
        assert probe.wait_for_json(SWITCHES)["daytime"] is True
        process.end()
        assert "Traceback" not in process.said["err"]
    finally:
        process.kill()
