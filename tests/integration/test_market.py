"""The marketplace from outside: a bot on MQTT, statements and ledger on REST."""

import json
import runpy
import select
import threading
from pathlib import Path

import httpx
import pytest
from raw_mqtt import PUBLISH, SUBSCRIBE, RawBroker, message_in

from tests.processes import UP, launch, ready
from tests.running import PATIENCE_S
from wattswap_mqtt.mqtt import publish_frame

BOT = Path(__file__).parents[2] / "examples" / "market_bot.py"


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("market") / "data"
    process = launch(data_dir, *UP, "--bots", "8", "--publish-interval", "0.2", "--load-noise", "0")
    yield ready(process)
    assert process.end() == 0
    assert "Traceback" not in process.said["err"], process.said["err"]


@pytest.fixture
def ask(system):
    def get(path, **query):
        return httpx.get(f"{system[0]}/api/v1{path}", params=query, timeout=PATIENCE_S)

    return get


def test_a_bot_on_mqtt_sells_above_the_feed_in_tariff(system, ask):
    web, address = system
    control = f"{web}/api/v1/control/switch"
    for switch, value in (("time_acceleration", 300), ("battery_reserve_pct", 0)):
        httpx.post(control, json={"switch": switch, "value": value}, timeout=PATIENCE_S).raise_for_status()
    bot = runpy.run_path(str(BOT))["MarketBot"](address.host, address.port, "demo_meter", "main")
    try:
        result = bot.run(0.5)
    finally:
        bot.close()
    assert result["sold_kwh"] == pytest.approx(0.5, rel=0.01)
    assert result["earned_apt"] > result["utility_apt"] * 1.05
    assert {order["status"] for order in bot.orders.values()} <= {"executed", "expired"}

    statement = ask("/market/statement").json()
    sales = [entry for entry in statement["entries"] if entry["kind"] == "order" and entry["counterparty"] != "utility"]
    assert sum(entry["energy_kwh"] for entry in sales) == pytest.approx(result["sold_kwh"], abs=1e-6)
    total = sum(round(entry["amount_apt"] * 1e6) for entry in statement["entries"])
    assert total == round((statement["closing_balance_apt"] - statement["opening_balance_apt"]) * 1e6)
    assert all(entry["co2_kg"] == pytest.approx(-0.45 * entry["energy_kwh"]) for entry in sales)

    ledger = ask("/market/ledger").json()
    assert ledger["ledger_sum_utok"] == 0
    assert sum(round(account["balance_apt"] * 1e6) for account in ledger["accounts"]) == 0
    assert ledger["accounts"][0]["account"] == "utility"
    for quarter in ledger["quarter_hours"]:
        assert quarter["bought_kwh"] == pytest.approx(quarter["sold_kwh"] + quarter["imbalance_kwh"], abs=1e-9)

    market = ask("/market").json()
    assert market["depth"]["bids"][0]["price"] <= market["best_bid"] < market["best_ask"]
    candles = ask("/market/candles").json()["candles"]
    assert candles[-1]["low"] <= candles[-1]["close"] <= candles[-1]["high"]
    trades = ask("/market/trades", meter_id="demo_meter").json()["trades"]
    assert {"maker", "taker"} >= {trade["liquidity"] for trade in trades}


def test_a_bot_says_nothing_before_it_can_hear_the_answer():
    answers = []

    def ask(address):
        bot = runpy.run_path(str(BOT))["MarketBot"](address.host, address.port, "demo_meter", "main")
        answers.append(bot.ask("switch/market_enabled/set", {"value": True}))
        bot.close()

    with RawBroker() as broker:
        asking = threading.Thread(target=ask, args=(broker.address,))
        asking.start()
        with broker.welcome() as raw:
            number = raw.expect(SUBSCRIBE)[:2]
            assert select.select([raw.sock], [], [], 0.5)[0] == [], "it has asked already"
            raw.sock.sendall(b"\x90\x05" + number + b"\x00\x01\x01")
            topic, command = message_in(raw.expect(PUBLISH))
            assert topic == "wattswap/meter/demo_meter/switch/market_enabled/set"
            ack = {"id": json.loads(command[2:])["id"], "status": "ok", "result": True}
            raw.sock.sendall(publish_frame("wattswap/meter/demo_meter/ack", json.dumps(ack).encode(), retain=False))
            asking.join()
    assert answers == [True]


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("/market/statement", {"meter_id": "nobody"}, 404, "unknown_meter"),
        ("/market/statement", {"start": "yesterday"}, 422, "invalid_time"),
        ("/market/ledger", {"start": "2026-01-02T00:00", "end": "2026-01-01T00:00"}, 422, "reversed_range"),
        ("/market/ledger", {"community": "elsewhere"}, 404, "unknown_community"),
        ("/market/candles", {"limit": "0"}, 422, "out_of_range"),
        ("/market/candles", {"community": "elsewhere"}, 404, "unknown_community"),
    ],
)
def test_what_cannot_be_answered_is_a_problem(ask, path, query, status, code):
    response = ask(path, **query)
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_an_open_book_survives_kill_9(tmp_path):
    """Acknowledged orders, resting or in delivery, are there again, in their place, and the ledger is whole."""
    process = launch(tmp_path / "data", *UP, "--load-noise", "0", "--publish-interval", "0.5")
    try:
        web, _ = ready(process)

        def post(path, **body):
            return httpx.post(f"{web}/api/v1{path}", json=body, timeout=PATIENCE_S).raise_for_status().json()

        def get(path, **query):
            return httpx.get(f"{web}/api/v1{path}", params=query, timeout=PATIENCE_S).raise_for_status().json()

        def place(meter_id, side, price, kwh=0.2, **more):
            order = {"side": side, "type": "limit", "quantity_kwh": kwh, "duration_sec": 86400, "price": price}
            return post("/market/order", meter_id=meter_id, min_fill_kwh=0, time_in_force="GTC", **order | more)

        for meter_id in ("demo_meter", "meter_00002"):
            post("/control/switch", meter_id=meter_id, switch="market_enabled", value=True)
        waiting = [place("meter_00002", "buy", price) for price in (0.10, 0.11, 0.11)]
        before = place("demo_meter", "sell", 0.11, 0.3)
        assert before["matched_kwh"] == 0.3
        process.kill()

        process = launch(tmp_path / "data", *UP, "--load-noise", "0", "--publish-interval", "0.5")
        web, _ = ready(process)
        after = {order["order_id"]: order for order in get("/market/orders", meter_id="meter_00002")["orders"]}
        assert [after[order["order_id"]]["matched_kwh"] for order in waiting] == [0.0, 0.2, 0.1]
        assert get(f"/market/order/{before['order_id']}")["matched_kwh"] == 0.3
        last = place("demo_meter", "sell", 0.10, 0.2)
        assert last["average_price"] == 0.105
        matched = [get(f"/market/order/{order['order_id']}")["matched_kwh"] for order in waiting]
        assert matched == [0.1, 0.2, 0.2]
        assert get("/market/ledger")["ledger_sum_utok"] == 0
    finally:
        process.kill()
