import re

import orjson
import pytest
from bridge_double import METER, bridge_double, problem, snapshot

from wattswap_mqtt.core.quantities import QUANTITIES
from wattswap_mqtt.core.switches import SWITCHES


@pytest.fixture
def bridge(tmp_path, monkeypatch):
    with bridge_double(tmp_path, monkeypatch) as client:
        client.announce()
        yield client


def event(number, meter_id=METER, event_type="switch_changed"):
    return {
        "event_type": event_type,
        "timestamp": f"2026-06-21T12:00:{number:02d}+02:00",
        "meter_id": meter_id,
        "n": number,
    }


class TestHealth:
    def test_all_is_well(self, bridge):
        status = {
            "tick_rate": 1.0,
            "time_acceleration": 10.0,
            "lag_s": 0.0,
            "queue_lengths": {"outgoing": 2},
            "meters": 2,
        }
        bridge.tell("community/main/status", status)
        body = bridge.told("/health")
        assert body["status"] == "ok"
        assert (body["tick_rate"], body["time_acceleration"], body["lag_s"]) == (1.0, 10.0, 0.0)
        assert body["queue_lengths"] == {"outgoing": 2, "commands": 0, "history": 1}
        assert body["broker"]["connected"] is True
        assert body["communities"]["main"]["availability"] == "online"

    def test_meters_that_are_gone_do_not_count(self, bridge):
        bridge.tell("meter/meter_00003/availability", "offline")
        bridge.tell("community/main/status", {"meters": 2})
        assert bridge.told("/health")["meters"] == bridge.told("/meters")["total"] == 1

    def test_the_simulator_is_away(self, bridge):
        bridge.tell("community/main/availability", "offline")
        response = bridge.get("/health")
        assert response.status_code == 503
        assert response.json()["status"] == "unavailable"
        assert response.json()["communities"]["main"]["availability"] == "offline"

    def test_the_broker_is_away(self, bridge):
        keys = set(bridge.get("/health").json())
        bridge.here(bridge.wire.go)
        response = bridge.get("/health")
        assert response.status_code == 503
        assert response.json()["broker"]["connected"] is False
        assert set(response.json()) == keys

    def test_what_still_works_is_degraded(self, bridge):
        bridge.announce("west_00001", "west")
        bridge.tell("community/west/availability", "offline")
        assert bridge.told("/health")["status"] == "degraded"
        for topic in ("availability", "status", "market"):
            bridge.tell(f"community/west/{topic}", b"")
        assert bridge.told("/health")["communities"].keys() == {"main"}
        assert bridge.told("/health")["status"] == "ok"
        bridge.announce("west_00001", "west")
        bridge.tell("community/west/status", {"storage": "failed"})
        assert bridge.told("/health")["status"] == "degraded"

    def test_its_own_community_is_away_whatever_others_do(self, bridge):
        bridge.announce("west_00001", "west")
        bridge.tell("community/main/availability", "offline")
        response = bridge.get("/health")
        assert (response.status_code, response.json()["status"]) == (503, "unavailable")

    def test_a_bridge_without_a_community_of_its_own_tells_of_the_others(self, bridge):
        bridge.announce("west_00001", "west")
        for topic in ("availability", "status", "market"):
            bridge.tell(f"community/main/{topic}", b"")
        assert bridge.told("/health")["status"] == "ok"

    def test_what_cannot_be_saved_is_not_healthy(self, bridge):
        bridge.tell("community/main/status", {"storage": "failed"})
        response = bridge.get("/health")
        assert (response.status_code, response.json()["status"]) == (503, "failing")
        bridge.tell("community/main/status", {"storage": "ok"})
        assert bridge.told("/health")["status"] == "ok"
        bridge.bridge.history.trouble = "the disk is full"
        response = bridge.get("/health")
        assert (response.status_code, response.json()["status"]) == (503, "failing")
        assert response.json()["history"]["trouble"] == "the disk is full"

    @pytest.mark.parametrize(
        "junk", [b"", b"5", b"[]", b"\xff", b'{"queue_lengths": 5}', b'{"queue_lengths": [1]}', b'{"meters": "many"}']
    )
    def test_a_status_that_is_none_does_no_harm(self, bridge, junk):
        bridge.tell("community/main/status", junk)
        bridge.tell("community/main/market", junk)
        assert bridge.told("/health")["status"] == "ok"
        assert bridge.told("/market")["community"] == "main"
        assert bridge.told("/meters")["total"] == 1
        assert bridge.get("/metrics", root=True).status_code == 200


class TestEvents:
    @pytest.fixture(autouse=True)
    def _some(self, bridge):
        bridge.announce("meter_00002")
        bridge.announce("meter_00003")
        for number in range(6):
            bridge.tell(f"meter/{METER}/event", event(number, event_type="trade" if number % 2 else "started"))
        bridge.tell("meter/meter_00002/event", event(6, "meter_00002"))
        for junk in (b"", b"[]", b"{}", b'{"timestamp": 5}', b"\xff", b"x" * 70_000):
            bridge.tell(f"meter/{METER}/event", junk)

    @pytest.mark.parametrize(
        ("query", "numbers"),
        [
            ("", [0, 1, 2, 3, 4, 5, 6]),
            ("?limit=2", [5, 6]),
            (f"?meter_id={METER}&limit=2", [4, 5]),
            ("?meter_id=meter_00002", [6]),
            (f"?meter_id=meter_00002,{METER}&limit=3", [4, 5, 6]),
            ("?type=trade", [1, 3, 5]),
            ("?type=trade&type=started&limit=1", [5]),
            ("?since=2026-06-21T12:00:04%2B02:00", [4, 5, 6]),
            ("?since=2026-06-21T12:00:04+02:00", [4, 5, 6]),
            ("?since=2026-06-21T12:00:04", [4, 5, 6]),
            ("?since=2027-01-01", []),
            ("?meter_id=meter_00003", []),
        ],
    )
    def test_the_newest_come_last(self, bridge, query, numbers):
        assert [found["n"] for found in bridge.told(f"/events{query}")["events"]] == numbers

    def test_of_an_unknown_meter_there_are_none_to_tell(self, bridge):
        for path in ("/events", "/market/trades", "/stream"):
            problem(bridge.get(f"{path}?meter_id=nobody"), 404, "unknown_meter")
            problem(bridge.get(f"{path}?meter_id={METER},%23"), 404, "unknown_meter")

    @pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "limit=99999999999999999999", "since=x"])
    def test_a_bad_question_is_422(self, bridge, query):
        assert bridge.get(f"/events?{query}").status_code == 422

    @pytest.mark.parametrize("query", ["type=traed", "type=trade,traed", "type=trade&type=TRADE"])
    def test_a_type_that_there_is_not_is_refused_and_those_there_are_named(self, bridge, query):
        body = problem(bridge.get(f"/events?{query}"), 422, "out_of_range")
        assert "started, switch_changed" in body["detail"]


def test_events_and_trades_outlast_the_bridge(tmp_path, monkeypatch):
    with bridge_double(tmp_path, monkeypatch) as client:
        client.tell(f"meter/{METER}/event", event(1))
        client.tell("community/main/market/trade", {"timestamp": "2026-06-21T12:00:00Z", "n": 2})
    with bridge_double(tmp_path, monkeypatch) as client:
        client.tell(f"meter/{METER}/event", event(3))
        assert [found["n"] for found in client.told("/events")["events"]] == [1, 3]
        assert [found["n"] for found in client.told("/market/trades")["trades"]] == [2]


def test_constants_are_those_of_the_original(bridge):
    assert bridge.told("/constants") == {"co2_factor": 0.45, "token_rate": 0.08, "refresh_interval_ms": 1000}
    bridge.tell("community/main/status", {"publish_interval_s": 0.5})
    assert bridge.told("/constants")["refresh_interval_ms"] == 500


def test_the_token_rate_is_the_tariff_that_is_in_force(bridge):
    bridge.tell("community/main/market", {"feed_in_tariff": 0.12})
    assert bridge.told("/constants")["token_rate"] == 0.12


def test_the_catalogue_has_all_there_is(bridge):
    found = bridge.told("/catalogue")
    assert {quantity["path"] for quantity in found["quantities"]} == {path.dotted for path in QUANTITIES}
    assert [switch["name"] for switch in found["switches"]] == list(SWITCHES)
    [pv] = [quantity for quantity in found["quantities"] if quantity["path"] == "pv.pv_power_kw"]
    assert (pv["title"], pv["unit"], pv["decimals"]) == ("PV power", "kW", 3)


def test_head_is_get_without_its_body(bridge):
    for path in (f"/meter/{METER}/snapshot", "/health", "/catalogue", "/meter/nobody/snapshot", "/nothing"):
        head, get = bridge.request("HEAD", path), bridge.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
    assert bridge.request("HEAD", "/stream").headers["content-type"].startswith("text/event-stream")
    assert bridge.here(lambda: bridge.bridge.live.listeners) == 0
    problem(bridge.get("/control/switch"), 405, "method_not_allowed")
    assert bridge.get("/control/switch").headers["allow"] == "POST"
    assert bridge.post("/health").headers["allow"] == "GET, HEAD"
    assert bridge.request("HEAD", "/control/switch").status_code == 405


def test_metrics_are_prometheus_text(bridge):
    bridge.tell("community/main/status", {"meters": 1, "tick_rate": 1.0, "lag_s": 0.25})
    response = bridge.get("/metrics", root=True)
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = response.text.splitlines()
    assert f'wattswap_pv_pv_power_kw{{meter_id="{METER}"}} 1' in lines
    assert f'wattswap_market_enabled{{meter_id="{METER}"}} 0' in lines
    assert 'wattswap_community_lag_s{community="main"} 0.25' in lines
    assert "# TYPE wattswap_derived_energy_imported_kwh counter" in lines
    for line in lines:
        assert re.fullmatch(r"# (HELP|TYPE) wattswap_\w+ .+|wattswap_\w+(\{\w+=\"[\w-]+\"\})? \S+", line), line


def test_metrics_leave_out_what_is_no_number(bridge):
    bridge.tell(f"meter/{METER}/state", orjson.dumps({"pv": 5, "ev": {"power_kw": "x"}, "loads": {"appliance": []}}))
    assert "wattswap_ev_power_kw" not in bridge.get("/metrics", root=True).text


def test_the_documents_are_there(bridge):
    document = bridge.get("/openapi.json", root=True).json()
    assert document["openapi"].startswith("3.1")
    paths = document["paths"]
    for path in (
        "meter/{meter_id}/snapshot", "meter/{meter_id}/timeseries", "control/switch", "control/switches",
        "control/time_acceleration", "market/order", "market/order/{order_id}", "market/cancel", "health", "events",
        "constants", "meters", "market", "market/orders", "market/trades", "scenarios", "scenarios/{name}", "catalogue",
        "stream",
    ):  # fmt: skip
        assert f"/api/v1/{path}" in paths
    schema = document["components"]["schemas"]["Snapshot"]
    assert schema["properties"]["pv"]["properties"]["pv_power_kw"]["x-unit"] == "kW"
    on_mqtt = bridge.get("/asyncapi.json", root=True).json()
    assert on_mqtt["asyncapi"].startswith("3.")
    broker = on_mqtt["servers"]["broker"]
    assert f"{broker['protocol']}://{broker['host']}" == str(bridge.bridge.settings.broker_address)
    assert "openapi.json" in bridge.get("/docs", root=True).text
    assert "text/html" in bridge.get("/", root=True).headers["content-type"]


def test_every_reference_of_the_openapi_document_leads_somewhere(bridge):
    document = bridge.get("/openapi.json", root=True).json()
    names = set(re.findall(r'"\$ref":"#/components/schemas/(\w+)"', orjson.dumps(document).decode()))
    assert names <= set(document["components"]["schemas"])
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            assert operation["description"], path
            assert operation["tags"], path
            if method == "post":
                assert {"404", "413", "422", "503", "504"} <= set(operation["responses"]), path


def test_the_page_needs_nothing_from_elsewhere(bridge):
    page = bridge.get("/", root=True).text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "@import" not in page


class TestErrors:
    def test_an_unknown_path(self, bridge):
        for path in ("/nope", "/api/v1/", "/api/v1/meter//snapshot", "/api/v1/health/", "/%00", "/api/v2/health"):
            problem(bridge.get(path, root=True), 404, "not_found")

    def test_another_method(self, bridge):
        response = bridge.request("DELETE", "/control/switch")
        problem(response, 405, "method_not_allowed")
        assert response.headers["allow"] == "POST"
        problem(bridge.post(f"/meter/{METER}/snapshot"), 405, "method_not_allowed")
        problem(bridge.get("/control/switch"), 405, "method_not_allowed")

    def test_a_body_that_is_too_large(self, bridge):
        async def chunks():
            for _ in range(3):
                yield b" " * 40_000

        for size in (65_537, 1 << 20, 20 << 20):
            problem(bridge.post("/control/switch", content=b" " * size), 413, "too_large")
        problem(bridge.post("/control/switch", content=chunks()), 413, "too_large")
        fits = b'{"switch": "daytime", "value": true}'.ljust(65_536)
        assert bridge.post("/control/switch", content=fits).status_code == 200

    def test_what_should_not_happen_is_a_problem_too(self, bridge, monkeypatch, caplog):
        monkeypatch.setattr(bridge.bridge.latest, "expect", None)
        problem(bridge.post("/control/switch", json={"switch": "daytime", "value": True}), 500, "internal_error")
        assert "POST /api/v1/control/switch failed" in caplog.text


class TestCors:
    def test_any_origin_may_read_and_post(self, bridge):
        origin = {"Origin": "http://dashboard.example"}
        assert bridge.get("/health", headers=origin).headers["access-control-allow-origin"] == "*"
        asked = origin | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        preflight = bridge.request("OPTIONS", "/control/switch", headers=asked)
        assert preflight.status_code == 200
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in preflight.headers

    def test_errors_can_be_read_too(self, bridge):
        origin = {"Origin": "http://dashboard.example"}
        for response in (
            bridge.get("/meter/nobody/snapshot", headers=origin),
            bridge.post("/control/switch", json={}, headers=origin),
            bridge.post("/control/switch", content=b" " * 70_000, headers=origin),
        ):
            assert response.headers["access-control-allow-origin"] == "*"


def test_a_snapshot_of_any_shape_does_no_harm(bridge):
    for tz in (5, "Nowhere/Land", "../../etc/passwd", "\x00", None, "/etc/localtime", "a" * 5000):
        bridge.tell(f"meter/{METER}/state", snapshot(tz=tz))
        assert (
            bridge.get(
                f"/meter/{METER}/timeseries?start=2026-06-21T00:00&end=2026-06-22T00:00&resolution=1h"
            ).status_code
            == 200
        )
        assert bridge.get(f"/events?meter_id={METER}&since=2026-06-21").status_code == 200
