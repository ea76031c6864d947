import asyncio
import threading
from datetime import UTC, datetime

import orjson
import pytest
from bridge_double import METER, NOON, bridge_double, problem, snapshot

from wattswap_mqtt.core.errors import StorageError
from wattswap_mqtt.roles.bridge import latest
from wattswap_mqtt.store import history

IMPOSSIBLE_IDS = (
    "a%2Fb", "a%2Fb%2Fc", "%2B", "%23", "demo_meter%2F%23", "a" * 65, "a" * 5000, "%00", "demo_meter%00", "%20", "..",
    "demo meter", "démo", "%ED%A0%80", "%FF%FE", "$SYS", "'; DROP TABLE sample; --", "{meter_id}", "%25", "%0d%0a",
)  # fmt: skip


@pytest.fixture
def bridge(tmp_path, monkeypatch):
    with bridge_double(tmp_path, monkeypatch) as client:
        client.announce()
        yield client


@pytest.fixture
def lonely(tmp_path, monkeypatch):
    """A bridge with a broker that has told nothing."""
    with bridge_double(tmp_path, monkeypatch) as client:
        yield client


def test_the_snapshot_is_what_came_over_mqtt_byte_for_byte(bridge):
    payload = b'{"timestamp":"2026-06-21T12:00:00+02:00",   "seq" : 5 }'
    bridge.tell(f"meter/{METER}/state", payload)
    response = bridge.get(f"/meter/{METER}/snapshot")
    assert response.content == payload
    assert response.headers["content-type"] == "application/json"


def test_the_shortcut_is_open_to_dashboards_and_to_get_only(bridge):
    assert bridge.get(f"/meter/{METER}/snapshot").headers["access-control-allow-origin"] == "*"
    problem(bridge.request("POST", f"/meter/{METER}/snapshot"), 405, "method_not_allowed")
    problem(bridge.get("/meter/snapshot"), 404, "not_found")


@pytest.mark.parametrize("below", ["snapshot", "truth", "timeseries?start=2026-01-01&end=2026-01-02"])
def test_an_id_that_can_be_none_is_an_unknown_meter(bridge, below):
    for meter_id in IMPOSSIBLE_IDS:
        response = bridge.get(f"/meter/{meter_id}/{below}")
        assert response.status_code == 404, meter_id
        assert response.json()["code"] in ("unknown_meter", "not_found")


def test_an_unknown_meter_is_404_when_simulators_are_there(bridge):
    problem(bridge.get("/meter/nobody/snapshot"), 404, "unknown_meter")
    problem(bridge.get("/meter/nobody/timeseries?start=2026-01-01&end=2026-01-02"), 404, "unknown_meter")
    problem(bridge.get("/control/switches?meter_id=nobody"), 404, "unknown_meter")
    problem(
        bridge.post("/control/switch", json={"meter_id": "nobody", "switch": "daytime", "value": True}),
        404,
        "unknown_meter",
    )
    assert bridge.wire.published == []


def test_nobody_has_announced_itself_yet(lonely):
    problem(lonely.get(f"/meter/{METER}/snapshot"), 503, "simulator_away")
    lonely.announce()
    assert lonely.get(f"/meter/{METER}/snapshot").status_code == 200


def test_what_is_retained_is_waited_for_before_a_meter_is_called_unknown(lonely, monkeypatch):
    lonely.announce("meter_00002")
    monkeypatch.setattr(latest, "SETTLE_S", 20.0)
    lonely.announce("meter_00003")
    later = threading.Timer(0.1, lonely.announce, ["meter_00004"])
    later.start()
    assert lonely.get("/meter/meter_00004/snapshot").status_code == 200
    later.join()


def test_while_the_broker_is_away_nothing_is_known_for_sure(bridge):
    bridge.here(bridge.wire.go)
    problem(bridge.get(f"/meter/{METER}/snapshot"), 503, "broker_away")
    problem(bridge.post("/control/switch", json={"switch": "daytime", "value": True}), 503, "broker_away")
    assert bridge.told("/meters")["meters"][0]["availability"] == "offline"
    bridge.here(bridge.wire.come)
    problem(bridge.get(f"/meter/{METER}/snapshot"), 503, "simulator_away")  # what was known may be old
    bridge.announce()
    assert bridge.get(f"/meter/{METER}/snapshot").status_code == 200


def test_a_simulator_that_died_is_503_and_heals(bridge):
    bridge.tell("community/main/availability", "offline")
    problem(bridge.get(f"/meter/{METER}/snapshot"), 503, "simulator_away")
    problem(bridge.post("/control/switch", json={"switch": "daytime", "value": True}), 503, "simulator_away")
    assert bridge.wire.published == []
    bridge.tell("community/main/availability", "online")
    assert bridge.get(f"/meter/{METER}/snapshot").status_code == 200


def test_each_community_stands_for_its_own_meters(bridge):
    bridge.announce("west_00001", "west")
    bridge.tell("community/west/availability", "offline")
    problem(bridge.get("/meter/west_00001/snapshot"), 503, "simulator_away")
    assert bridge.get(f"/meter/{METER}/snapshot").status_code == 200


def test_a_meter_that_says_it_is_offline_sends_nothing_and_still_obeys(bridge):
    bridge.tell(f"meter/{METER}/availability", "offline")
    problem(bridge.get(f"/meter/{METER}/snapshot"), 503, "meter_offline")
    assert bridge.post("/control/switch", json={"switch": "fault_inject", "value": {}}).status_code == 200


def test_a_meter_left_over_from_a_larger_community_is_unknown(bridge):
    bridge.announce("meter_00005")
    bridge.tell("community/main/status", {"meters": 4})
    problem(bridge.get("/meter/meter_00005/snapshot"), 404, "unknown_meter")
    bridge.tell("community/main/status", {"meters": 5})
    assert bridge.get("/meter/meter_00005/snapshot").status_code == 200


def test_a_meter_whose_topics_were_cleared_is_unknown(bridge):
    bridge.announce("meter_00002")
    for topic in ("state", "availability", "switches", "scenario"):
        bridge.tell(f"meter/meter_00002/{topic}", b"")
    problem(bridge.get("/meter/meter_00002/snapshot"), 404, "unknown_meter")
    assert bridge.told("/meters")["total"] == 1


@pytest.mark.parametrize("junk", [b"", b"x", b"[]", b"5", b"null", b"\xff", b"NaN", b'{"a":' * 5000])
def test_a_state_that_is_none_is_not_passed_on(bridge, junk):
    bridge.tell(f"meter/{METER}/state", junk)
    problem(bridge.get(f"/meter/{METER}/snapshot"), 503, "no_snapshot")


def test_the_truth_is_there_while_a_fault_is(bridge):
    problem(bridge.get(f"/meter/{METER}/truth"), 404, "no_fault")
    bridge.tell(f"meter/{METER}/truth", snapshot(pv_kw=9.0))
    assert bridge.told(f"/meter/{METER}/truth")["pv"]["pv_power_kw"] == 9.0
    bridge.tell(f"meter/{METER}/truth", b"")
    problem(bridge.get(f"/meter/{METER}/truth"), 404, "no_fault")


def test_the_list_of_meters_has_pages(bridge):
    for number in range(2, 8):
        bridge.announce(f"meter_{number:05d}")
    first = bridge.told("/meters?limit=4")
    rest = bridge.told(f"/meters?limit=4&cursor={first['next_cursor']}")
    assert [meter["meter_id"] for meter in first["meters"] + rest["meters"]] == [
        METER,
        *(f"meter_{n:05d}" for n in range(2, 8)),
    ]
    assert first["total"] == 7
    assert rest["next_cursor"] is None
    assert first["meters"][0] == {"meter_id": METER, "availability": "online", "community": "main", "scenario": "none"}


class TestTimeseries:
    @pytest.fixture(autouse=True)
    def _ten_minutes(self, bridge, monkeypatch):
        self.bridge = bridge
        monkeypatch.setattr(history, "PER_FLUSH", 1000)
        bridge.bridge.history.flush()
        noon_s = datetime.fromisoformat(NOON).timestamp()
        for second in range(600):
            time = datetime.fromtimestamp(noon_s + second, UTC).isoformat()
            bridge.bridge.history.append(METER, snapshot(timestamp=time, pv_kw=second / 100))

    def ask(self, **query):
        return self.bridge.get(f"/meter/{METER}/timeseries", params=query)

    def rows(self, **query):
        response = self.ask(**query)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def test_snapshots_come_by_simulated_time(self):
        rows = self.rows(start="2026-06-21T10:00:00Z", end="2026-06-21T10:00:59Z")
        assert len(rows) == 60
        assert rows[5]["pv"]["pv_power_kw"] == 0.05

    @pytest.mark.parametrize(
        ("start", "end"),
        [
            ("2026-06-21T12:00:00", "2026-06-21T12:00:09"),  # naive: the meter's zone, two hours ahead of UTC
            ("2026-06-21T12:00:00+02:00", "2026-06-21 12:00:09+02:00"),
            ("2026-06-21T12:00:00 02:00", "2026-06-21T12:00:09 0200"),  # a plus that was not escaped
            (" 2026-06-21T10:00:00Z ", "20260621T100009Z"),
        ],
    )
    def test_times_are_read_as_they_are_meant(self, start, end):
        assert len(self.rows(start=start, end=end)) == 10

    @pytest.mark.parametrize(
        ("start", "end"),
        [("0001-01-01", "9999-12-31"), ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00")],
    )
    def test_all_of_history_is_a_range(self, start, end):
        assert len(self.rows(start=start, end=end)) == 600
        assert len(self.rows(start=start, end=end, resolution="1m")) == 10
        assert len(self.rows(start=start, end=end, resolution="1d")) == 1

    @pytest.mark.parametrize(("start", "end"), [("0001-01-01", "0001-01-02"), ("9999-12-30", "9999-12-31")])
    def test_the_ends_of_time_are_empty(self, start, end):
        assert self.rows(start=start, end=end) == []
        for resolution in ("1s", "10s", "1m", "15m", "1h", "1d"):
            assert self.rows(start=start, end=end, resolution=resolution) == []

    def test_bins(self):
        rows = self.rows(start="2026-06-21T12:00:00", end="2026-06-21T12:10:00", resolution="1m")
        assert len(rows) == 10
        assert rows[1]["timestamp"] == "2026-06-21T12:01:00+02:00"
        assert rows[1]["pv"]["pv_power_kw"] == 0.895

    def test_fields(self):
        rows = self.rows(start=NOON, end=NOON, fields="pv.pv_power_kw,market")
        assert rows == [
            {"timestamp": "2026-06-21T10:00:00+00:00", "pv": {"pv_power_kw": 0.0}, "market": {"enabled": False}}
        ]

    def test_a_field_is_found_by_its_name_alone(self):
        assert self.rows(start=NOON, end=NOON, fields="pv_power_kw, enabled") == self.rows(
            start=NOON, end=NOON, fields="pv.pv_power_kw,market.enabled"
        )
        [row] = self.rows(start=NOON, end=NOON, fields="soc_pct")
        assert {name: set(row[name]) for name in ("battery", "ev")} == {"battery": {"soc_pct"}, "ev": {"soc_pct"}}

    def test_pages_join_to_the_whole(self):
        query = {"start": "2026-06-21T12:00:00", "end": "2026-06-21T12:10:00", "limit": 250}
        rows, reply = [], {"next_cursor": None}
        while True:
            reply = self.ask(**query).json()
            rows += reply["data"]
            if reply["next_cursor"] is None:
                break
            query["cursor"] = reply["next_cursor"]
        assert len(rows) == 600
        assert len({row["timestamp"] for row in rows}) == 600

    def test_a_bad_range_is_422(self):
        for query, code in (
            ({"start": "2026-06-21T13:00", "end": "2026-06-21T12:00"}, "reversed_range"),
            ({"start": "2026-06-21"}, "missing_field"),
            ({"start": "", "end": ""}, "invalid_time"),
            ({"start": "yesterday", "end": "now"}, "invalid_time"),
            ({"start": "2026-13-01", "end": "2026-12-01"}, "invalid_time"),
            ({"start": "10000-01-01", "end": "2026-12-01"}, "invalid_time"),
            ({"start": "0000-01-01", "end": "2026-12-01"}, "invalid_time"),
            ({"start": "NaN", "end": "Infinity"}, "invalid_time"),
            ({"start": "٢٠٢٦-01-01", "end": "2026-12-01"}, "invalid_time"),
            ({"start": "2026-01-01T00:00:00+25:00", "end": "2026-12-01"}, "invalid_time"),
            ({"start": "2026-01-01\x00", "end": "2026-12-01"}, "invalid_time"),
            ({"start": NOON, "end": NOON, "resolution": "2s"}, "out_of_range"),
            ({"start": NOON, "end": NOON, "resolution": ""}, "out_of_range"),
            ({"start": NOON, "end": NOON, "fields": "pv.nope"}, "unknown_field"),
            ({"start": NOON, "end": NOON, "fields": "__class__"}, "unknown_field"),
            ({"start": NOON, "end": NOON, "limit": "0"}, "out_of_range"),
            ({"start": NOON, "end": NOON, "limit": "-5"}, "out_of_range"),
            ({"start": NOON, "end": NOON, "limit": "NaN"}, "wrong_type"),
            ({"start": NOON, "end": NOON, "limit": "1e3"}, "wrong_type"),
            ({"start": NOON, "end": NOON, "limit": "9" * 5000}, "wrong_type"),
            ({"start": NOON, "end": NOON, "limit": "999999999999999999999"}, "out_of_range"),
            ({"start": NOON, "end": NOON, "cursor": "x"}, "invalid_cursor"),
            ({"start": NOON, "end": NOON, "cursor": "dC0x"}, "invalid_cursor"),
            ({"start": NOON, "end": NOON, "cursor": "ü"}, "invalid_cursor"),
            ({"start": NOON, "end": NOON, "cursor": "dDk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk"}, "invalid_cursor"),
        ):
            problem(self.ask(**query), 422, code)

    def test_history_is_there_when_the_meter_is_not(self):
        self.bridge.here(self.bridge.wire.go)
        assert len(self.rows(start=NOON, end=NOON)) == 1

    def test_a_history_that_cannot_be_read_is_503(self, monkeypatch):
        def broken(*_, **__):
            raise StorageError("the disk is gone")

        monkeypatch.setattr(self.bridge.bridge.history, "query", broken)
        assert "disk is gone" in problem(self.ask(start=NOON, end=NOON), 503, "storage")["detail"]


def test_history_outlasts_the_bridge(tmp_path, monkeypatch):
    for second in range(2):
        with bridge_double(tmp_path, monkeypatch) as client:
            client.announce(timestamp=f"2026-06-21T12:00:0{second}+02:00")
    with bridge_double(tmp_path, monkeypatch) as client:
        found = client.told(f"/meter/{METER}/timeseries?start=2026-06-21T12:00&end=2026-06-21T13:00")
        assert [row["timestamp"][:19] for row in found["data"]] == ["2026-06-21T12:00:00", "2026-06-21T12:00:01"]
        assert orjson.loads(orjson.dumps(found))["next_cursor"] is None


def test_who_asks_while_the_broker_is_still_telling_gets_the_snapshot():
    async def ask_and_tell():
        known = latest.Latest()
        known.broker_came()
        known.put_community("main", "availability", b"online")
        known.put(METER, "availability", b"online")
        asked = asyncio.create_task(known.expect(METER))
        await asyncio.sleep(0)
        assert not asked.done(), "the broker tells a state last"
        for name, payload in (("switches", b"{}"), ("scenario", b"none"), ("state", b"{}")):
            known.put(METER, name, payload)
        return (await asked).snapshot

    assert asyncio.run(ask_and_tell()) == b"{}"
