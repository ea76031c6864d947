"""Home Assistant's energy preferences: what is asked for, and what becomes of what was there."""

import json
import threading

import pytest
from websockets.sync.server import serve

from wattswap_mqtt import cli
from wattswap_mqtt.contract.discovery import device_config
from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.core.errors import WattSwapError
from wattswap_mqtt.energy_dashboard import fill, merged, sources_of

IDS = {
    component["uniq_id"]: component["def_ent_id"]
    for meter_id in ("demo_meter", "meter_00002")
    for component in device_config(Topics(), "main", meter_id)["cmps"].values()
    if "uniq_id" in component
}
MINE = sources_of("demo_meter", IDS)
GAS = {"type": "gas", "stat_energy_from": "sensor.gas"}
WASHER = {"stat_consumption": "sensor.washer"}


def types(prefs):
    return [source["type"] for source in prefs["energy_sources"]]


def test_a_meter_has_a_grid_a_roof_a_battery_a_home_and_a_car():
    assert types(MINE) == ["grid", "solar", "battery", "home"]
    grid, solar, battery, _ = MINE["energy_sources"]
    assert grid["stat_energy_from"] == "sensor.demo_meter_energy_imported"
    assert grid["power_config"] == {"stat_rate_inverted": "sensor.demo_meter_net_power"}, "ours is + export"
    assert solar["stat_rate"] == "sensor.demo_meter_pv_power"
    assert battery["stat_energy_from"] == "sensor.demo_meter_battery_discharged"
    assert battery["power_config"] == {"stat_rate": "sensor.demo_meter_battery_power"}, "+ discharge in both"
    assert [one["stat_consumption"] for one in MINE["device_consumption"]] == ["sensor.demo_meter_ev_energy"]


def test_entities_may_have_been_renamed():
    renamed = IDS | {"demo_meter_derived_pv_energy_kwh": "sensor.roof"}
    assert sources_of("demo_meter", renamed)["energy_sources"][1]["stat_energy_from"] == "sensor.roof"


def test_a_meter_that_is_not_there_is_said():
    with pytest.raises(WattSwapError, match="no entity nobody_derived_energy_imported_kwh: is it connected"):
        sources_of("nobody", IDS)


def test_what_else_is_there_stays_and_twice_is_as_once():
    before = {"energy_sources": [GAS], "device_consumption": [WASHER], "device_consumption_water": []}
    once = merged(before, [MINE])
    assert types(once) == ["gas", "grid", "solar", "battery", "home"]
    assert once["device_consumption"] == [WASHER, *MINE["device_consumption"]]
    assert merged(once, [MINE]) == once


def test_two_meters_have_no_home():
    both = merged({}, [MINE, sources_of("meter_00002", IDS)])
    assert types(both) == ["grid", "solar", "battery"] * 2
    assert len(both["device_consumption"]) == 2


class HubDouble:
    """As much of Home Assistant's WebSocket API as is asked."""

    def __init__(self, issues=()):
        self.saved = None
        self.issues = issues
        self._server = serve(self._talk, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()

    def _talk(self, socket):
        socket.send(json.dumps({"type": "auth_required"}))
        right = json.loads(socket.recv()) == {"type": "auth", "access_token": "right"}
        socket.send(json.dumps({"type": "auth_ok" if right else "auth_invalid"}))
        for text in socket:
            asked = json.loads(text)
            result, error = self._answer(asked), None
            if result is None:
                error = {"code": "not_found", "message": "No prefs"}
            answer = {"id": asked["id"], "type": "result", "success": error is None, "result": result, "error": error}
            socket.send(json.dumps({"id": asked["id"], "type": "event"}))
            socket.send(json.dumps(answer))

    def _answer(self, asked):
        match asked["type"]:
            case "config/entity_registry/list":
                return [{"unique_id": uid, "entity_id": name, "platform": "mqtt"} for uid, name in IDS.items()]
            case "energy/get_prefs":
                return self.saved
            case "energy/save_prefs":
                self.saved = {key: value for key, value in asked.items() if key not in ("id", "type")}
                return self.saved
            case "energy/validate":
                issues = [{"type": kind, "affected_entities": []} for kind in self.issues]
                return {"energy_sources": [issues], "device_consumption": [[]]}


def test_the_preferences_are_filled_and_that_is_said(capsys):
    with HubDouble(["statistics_not_defined"]) as hub:
        fill(hub.url, "right", ["demo_meter"])
    assert hub.saved == merged({}, [MINE])
    said = capsys.readouterr().out
    assert f"the Energy dashboard shows demo_meter: {hub.url}/energy" in said
    assert "five-minute mark" in said


def test_what_home_assistant_finds_wrong_is_an_error():
    with HubDouble(["entity_negative_state"]) as hub, pytest.raises(WattSwapError, match="entity_negative_state"):
        fill(hub.url, "right", ["demo_meter"])


@pytest.mark.parametrize(
    ("url", "token", "code", "said"),
    [
        (None, "wrong", 2, "--token is refused"),
        (None, None, 2, "HASS_TOKEN"),
        ("http://127.0.0.1:1", "right", 1, "no Home Assistant answers"),
        ("homeassistant.local", "right", 2, "--url takes an address"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(url, token, code, said, monkeypatch, capsys):
    monkeypatch.delenv("HASS_TOKEN", raising=False)
    with HubDouble() as hub, pytest.raises(SystemExit) as ended:
        cli.main(["homeassistant", "energy", "--url", url or hub.url, *(["--token", token] if token else [])])
    assert ended.value.code == code
    [line] = capsys.readouterr().err.splitlines()
    assert said in line


def test_the_token_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("HASS_TOKEN", "right")
    with HubDouble() as hub, pytest.raises(SystemExit) as ended:
        cli.main(["homeassistant", "energy", "--url", hub.url, "--meter", "meter_00002"])
    assert not ended.value.code
    assert hub.saved["energy_sources"][0]["stat_energy_from"] == "sensor.meter_00002_energy_imported"
