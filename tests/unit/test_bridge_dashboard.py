"""What the bridge gives a dashboard: its files, many meters at a glance, and the stream's choice of events."""

import asyncio
import re

import orjson
import pytest
from bridge_double import METER, bridge_double, problem, snapshot

from wattswap_mqtt.roles.bridge.live import MESSAGE
from wattswap_mqtt.roles.bridge.pages import DASHBOARD


@pytest.fixture
def bridge(tmp_path, monkeypatch):
    with bridge_double(tmp_path, monkeypatch) as client:
        client.announce()
        yield client


class TestFiles:
    def test_page_and_modules_are_served_under_a_strict_policy(self, bridge):
        page = bridge.get("/", root=True)
        assert page.headers["content-type"].startswith("text/html")
        for response in (page, bridge.get("/dashboard/app.js", root=True)):
            assert response.status_code == 200
            policy = response.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert response.headers["cache-control"] == "no-cache"
            again = bridge.get(
                response.request.url.path, root=True, headers={"If-None-Match": response.headers["etag"]}
            )
            assert (again.status_code, again.content) == (304, b"")

    @pytest.mark.parametrize("path", ["/dashboard/app.js", "/api/v1/catalogue", "/api/v1/scenarios"])
    def test_what_is_large_comes_compressed_to_those_who_take_that(self, bridge, path):
        plain = bridge.get(path, root=True, headers={"Accept-Encoding": "identity"})
        packed = bridge.get(path, root=True, headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == plain.content
        assert int(packed.headers["content-length"]) < len(plain.content) / 2
        assert "Accept-Encoding" in packed.headers["vary"]

    def test_what_is_not_there(self, bridge):
        assert bridge.get("/dashboard/nothing.js", root=True).status_code == 404
        assert bridge.get("/dashboard/../pages.py", root=True).status_code == 404

    def test_all_that_modules_import_is_there(self):
        for file in DASHBOARD.rglob("*.js"):
            for name in re.findall(r"""\b(?:from ?|import\(?)["']([^"'\s]+)["']""", file.read_text("utf-8")):
                assert name.startswith("."), f"{file.name} imports {name}"
                assert (file.parent / name).is_file(), f"{file.name} imports {name}"


class TestFleet:
    def test_columns_of_all_meters(self, bridge):
        bridge.announce("meter_00002", pv_kw=2.5, alarms=[{"code": "a"}])
        bridge.tell("meter/meter_00002/availability", "offline")
        told = bridge.told("/fleet?fields=pv.pv_power_kw,grid.grid_status")
        assert told["meters"] == [METER, "meter_00002"]
        assert told["communities"] == ["main", "main"]
        assert told["online"] == [True, False]
        assert told["alarms"] == [0, 1]
        assert told["values"] == {"pv.pv_power_kw": [1.0, 2.5], "grid.grid_status": [None, None]}
        assert told["sums"] == {"pv.pv_power_kw": 1.0}, "who is offline is not counted"

    def test_the_same_answer_serves_everybody_for_a_while(self, bridge):
        first = bridge.told("/fleet?fields=pv.pv_power_kw")
        bridge.tell(f"meter/{METER}/state", snapshot(pv_kw=9.0))
        assert bridge.told("/fleet?fields=pv.pv_power_kw") == first
        assert bridge.told("/fleet?fields=pv.pv_power_kw,battery.soc_pct")["values"]["pv.pv_power_kw"] == [9.0]

    def test_whatever_a_meter_publishes(self, bridge):
        bridge.tell(f"meter/{METER}/state", b'{"pv": 3, "alarms": "none"}')
        told = bridge.told("/fleet?fields=pv.pv_power_kw,battery.soc_pct")
        assert told["values"]["pv.pv_power_kw"] == [None]
        assert told["alarms"] == [0]

    def test_unknown_quantity(self, bridge):
        assert "catalogue" in problem(bridge.get("/fleet?fields=pv.nothing"), 422, "unknown_field")["detail"]


def test_the_catalogue_tells_sections_topics_and_the_form_of_an_order(bridge):
    told = bridge.told("/catalogue")
    assert {one["name"] for one in told["sections"]} == {one["section"] for one in told["quantities"]}
    assert all(one["meaning"] for one in told["sections"])
    state = next(one for one in told["channels"] if one["name"] == "state")
    assert (state["address"], state["retained"]) == ("wattswap/meter/{meter_id}/state", "yes")
    assert {"side", "type", "quantity_kwh", "price"} <= set(told["order"]["properties"])


class TestStream:
    def read(self, bridge, pieces, during=lambda: None, **chosen):
        """Return the events of a client that reads some pieces; something happens before the last of them."""
        live = bridge.bridge.live

        async def client():
            found = live.stream(None, bridge.bridge.present(None), None, **chosen)
            text = b""
            for number in range(pieces):
                if number == pieces - 1:
                    during()
                text += await asyncio.wait_for(anext(found), 10)
            await found.aclose()
            return [
                (event.decode(), orjson.loads(data)) for event, data in re.findall(rb"event: (\w+)\ndata: (.*)\n", text)
            ]

        return bridge.wait(client())

    def test_market_community_and_broker_are_told_at_once_and_when_they_change(self, bridge):
        bridge.tell("community/main/market", {"current_market_price": 0.2})

        def happens():
            bridge.wire.tell("community/main/availability", "offline")
            bridge.wire.go()

        told = self.read(bridge, 3, happens)
        assert ("market", {"community": "main", "current_market_price": 0.2}) in told
        communities = [data["availability"] for event, data in told if event == "community"]
        assert communities == ["online", "offline"]
        brokers = [data for event, data in told if event == "broker"]
        assert [one["connected"] for one in brokers] == [True, False]
        assert brokers[0]["since"] <= brokers[1]["since"]
        assert brokers[0]["address"] == "mqtt://127.0.0.1:1883"

    def test_messages_as_they_are_on_the_wire(self, bridge):
        ack = f"meter/{METER}/ack"
        told = self.read(bridge, 3, lambda: bridge.wire.tell(ack, b"\xff"), kinds=[MESSAGE])
        assert {event for event, _ in told} == {MESSAGE}
        assert {data["topic"].rpartition("/")[2] for _, data in told} == {
            "state", "availability", "switches", "scenario", "ack",
        }  # fmt: skip
        assert told[-1][1]["payload"] == "\ufffd"

    def test_unknown_event(self, bridge):
        assert "message" in problem(bridge.get("/stream?events=nothing"), 422, "out_of_range")["detail"]
