import re

import pytest
from bridge_double import METER, bridge_double, problem
from homes import SCENARIOS


@pytest.fixture
def bridge(tmp_path, monkeypatch):
    with bridge_double(tmp_path, monkeypatch) as client:
        client.announce()
        yield client


def sent(bridge):
    """Return the topic below the meter and the payload of the last command, its id checked and taken out."""
    topic, payload = bridge.wire.published[-1]
    assert re.fullmatch(r"[0-9a-f]{16}", payload.pop("id"))
    return topic.removeprefix(f"wattswap/meter/{METER}/"), payload


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"meter_id": METER, "switch": "daytime", "value": True}},
        {"json": {"switch": "daytime", "value": "on"}},
        {"data": {"meter_id": METER, "switch": "daytime", "value": "true"}},
        {"data": {"switch": "daytime", "value": "1"}},
        {"files": {"switch": (None, "daytime"), "value": (None, "True")}},
        {"content": '{"switch": "daytime", "value": true}'},
        {
            "content": ' {"switch": "daytime", "value": true}',  # curl -d
            "headers": {"Content-Type": "application/x-www-form-urlencoded"},
        },
    ],
)
def test_a_switch_is_set_by_json_or_form(bridge, body):
    response = bridge.post("/control/switch", **body)
    assert response.json() == {"status": "ok", "meter_id": METER, "switch": "daytime", "value": True}
    assert sent(bridge) == ("switch/daytime/set", {"value": True})


@pytest.mark.parametrize(
    ("switch", "text", "value"),
    [
        ("battery_reserve_pct", "50", 50.0),
        ("manual_load_delta_kw", " -2.5 ", -2.5),
        ("ev_mode", "fast", "fast"),
        ("time_acceleration", "10", 10.0),
        ("fault_inject", '{"bias_pct": 10}', {"bias_pct": 10}),
        ("fault_inject", "{}", {}),
    ],
)
def test_a_form_has_text_for_every_kind_of_switch(bridge, switch, text, value):
    assert bridge.post("/control/switch", data={"switch": switch, "value": text}).json()["value"] == value
    assert sent(bridge) == (f"switch/{switch}/set", {"value": value})


def test_what_cannot_be_read_is_422_and_nothing_is_published(bridge):
    for body, code in (
        ({"switch": "nope", "value": 1}, "unknown_switch"),
        ({"switch": "__class__", "value": 1}, "unknown_switch"),
        ({"switch": "daytime/set", "value": 1}, "unknown_switch"),
        ({"switch": "+", "value": 1}, "unknown_switch"),
        ({"switch": 5, "value": 1}, "wrong_type"),
        ({"switch": ["daytime"], "value": 1}, "wrong_type"),
        ({"switch": "daytime"}, "missing_field"),
        ({"value": True}, "missing_field"),
        ({"switch": "daytime", "value": None}, "wrong_type"),
        ({"switch": "daytime", "value": "maybe"}, "wrong_type"),
        ({"switch": "battery_reserve_pct", "value": 101}, "out_of_range"),
        ({"switch": "battery_reserve_pct", "value": 1e308}, "out_of_range"),
        ({"switch": "battery_reserve_pct", "value": True}, "wrong_type"),
        ({"switch": "battery_reserve_pct", "value": "NaN"}, "wrong_type"),
        ({"switch": "fault_inject", "value": {"nope": 1}}, "unknown_fault"),
        ({"switch": "daytime", "value": True, "extra": 1}, "unknown_field"),
        ({"switch": "daytime", "value": True, "meter_id": 5}, "wrong_type"),
        ([], "wrong_type"),
        ("daytime", "wrong_type"),
    ):
        problem(bridge.post("/control/switch", json=body), 422, code)
    for content in (
        b"{",
        b'{"switch": NaN}',
        b'{"switch":' * 5000,
        b'{"value": 1e999}',
        b'"\\ud800"',
        b"\x00",
    ):
        problem(bridge.post("/control/switch", content=content), 422, "invalid_json")
    problem(bridge.post("/control/switch", content=b"\xff\xfe{"), 422, "not_utf8")
    problem(bridge.post("/control/switch", content=b""), 422, "missing_field")
    for meter_id in ("a/b", "+", "#", "", "x" * 65, "a\x00b"):
        problem(
            bridge.post("/control/switch", json={"meter_id": meter_id, "switch": "daytime", "value": 1}),
            404,
            "unknown_meter",
        )
    assert bridge.wire.published == []


def test_what_is_wrong_is_said_in_the_same_words_as_on_mqtt(bridge):
    body = problem(bridge.post("/control/switch", json={"switch": "ev_mode", "value": "warp"}), 422, "out_of_range")
    assert body["detail"] == "ev_mode takes one of off, fast, scheduled, solar, not 'warp'"


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=x", "multipart/form-data; boundary=\xff"]
)
def test_a_form_that_cannot_be_read_is_422(bridge, kind):
    response = bridge.post(
        "/control/switch",
        content=b"--x\r\nContent-Disposition: nonsense",
        headers={b"content-type": kind.encode("latin-1")},
    )
    assert response.status_code == 422
    many = "&".join(f"f{number}=1" for number in range(1000))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    problem(bridge.post("/control/switch", content=many, headers=headers), 422, "invalid_form")


def test_the_devices_refusal_is_409_with_its_code(bridge):
    bridge.wire.refuse("storage", "the disk is full")
    body = problem(bridge.post("/control/switch", json={"switch": "daytime", "value": True}), 409, "storage")
    assert body["detail"] == "the disk is full"


def test_no_answer_in_time_is_504(bridge):
    bridge.bridge.asker._timeout_s = 0.01
    bridge.wire.answer = lambda _command: None
    problem(bridge.post("/control/switch", json={"switch": "daytime", "value": True}), 504, "timeout")
    assert bridge.bridge.asker.waiting == 0


def test_too_many_commands_at_once_are_503(bridge, monkeypatch):
    monkeypatch.setattr("wattswap_mqtt.roles.bridge.ask.AT_ONCE", 0)
    problem(bridge.post("/control/switch", json={"switch": "daytime", "value": True}), 503, "busy")


def test_answers_to_others_are_not_ours(bridge):
    for ack in (
        b"",
        b"[]",
        b"{}",
        b'{"id": null}',
        b'{"id":"x","command":"","status":"ok","code":null,"message":null,"result":1}',
    ):
        bridge.tell(f"meter/{METER}/ack", ack)
    assert bridge.post("/control/switch", json={"switch": "daytime", "value": True}).status_code == 200


def test_switches_are_those_that_the_meter_told_last(bridge):
    assert bridge.told("/control/switches") == {"daytime": False, "time_acceleration": 1.0}
    bridge.tell(f"meter/{METER}/switches", {"daytime": True, "time_acceleration": 60.0})
    assert bridge.told(f"/control/switches?meter_id={METER}")["daytime"] is True
    assert bridge.told("/control/time_acceleration") == {"time_acceleration": 60.0}
    bridge.tell(f"meter/{METER}/switches", b"junk")
    problem(bridge.get("/control/switches"), 503, "no_snapshot")
    problem(bridge.get("/control/time_acceleration"), 503, "no_snapshot")


@pytest.mark.parametrize(
    ("name", "slug"),
    [("island-mode", "island-mode"), ("7", "island-mode"), ("none", "none"), ("Island-Mode", "island-mode")],
)
def test_a_scenario_is_set_by_name_or_number(bridge, name, slug):
    response = bridge.post(f"/scenarios/{name}?meter_id={METER}")
    assert response.json() == {"status": "ok", "meter_id": METER, "scenario": slug}
    assert sent(bridge) == ("scenario/set", {"value": slug})


def test_the_meter_of_a_scenario_may_stand_in_the_body(bridge):
    bridge.announce("meter_00002")
    assert bridge.post("/scenarios/none", json={"meter_id": "meter_00002"}).json()["meter_id"] == "meter_00002"
    assert bridge.post("/scenarios/none", data={"meter_id": "meter_00002"}).json()["meter_id"] == "meter_00002"


def test_an_unknown_scenario_is_422(bridge):
    problem(bridge.post("/scenarios/nope"), 422, "unknown_scenario")
    problem(bridge.post("/scenarios/%00"), 422, "unknown_scenario")
    problem(bridge.post("/scenarios/none?meter_id=a/b"), 404, "unknown_meter")
    assert bridge.wire.published == []


def test_scenarios_are_listed(bridge):
    found = bridge.told("/scenarios")["scenarios"]
    assert [scenario["slug"] for scenario in found] == list(SCENARIOS)
    assert found[1]["switches"]["daytime"] is True
    assert found[1]["soc_pct"] == 10
    assert found[1]["system_status"] == "Self-generation covering most load"
    [pv] = [expected for expected in found[1]["expect"] if expected["path"] == "pv.pv_power_kw"]
    assert (pv["equals"], pv["wanted"], pv["says"]) == (4.0, "4 ± 0.05 kW", "PV ~4kW generation")
    assert found[5]["events"] == [{"after_s": 1800.0, "order": "purchase"}]


OWN = {"slug": "mine", "title": "Mine", "events": [{"at": "5m", "switch": {"grid_connected": False}}]}


def test_a_scenario_of_ones_own_is_set_as_a_whole(bridge):
    assert bridge.post("/scenarios", json={"scenario": OWN}).json()["scenario"] == "mine"
    assert sent(bridge) == ("scenario/set", {"value": OWN})
    assert bridge.post("/scenarios", json={"scenario": "7"}).json()["scenario"] == "island-mode"


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({}, "missing_field", "scenario is missing"),
        ({"scenario": 5}, "wrong_type", "scenario takes text"),
        ({"scenario": OWN, "name": "x"}, "unknown_field", "'name'"),
        ({"scenario": {**OWN, "titel": "x"}}, "unknown_field", "titel: is no key here: did you mean title?"),
        ({"scenario": {**OWN, "start": {"soc_pct": 200}}}, "out_of_range", "start.soc_pct: takes a number of at most"),
    ],
)
def test_a_wrong_scenario_of_ones_own_is_422_and_says_where(bridge, body, code, says):
    told = problem(bridge.post("/scenarios", json=body), 422, code)
    assert says in told["detail"]
    assert bridge.wire.published == []
