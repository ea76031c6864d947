"""What a visitor sets: switches, orders, faults; and what the meter answers, in its own words."""

import json
import shlex
import subprocess

import pytest
from playwright.sync_api import expect

from tests.running import wait_until


@pytest.fixture(autouse=True)
def _plain_home(system):
    system.post("/scenarios/none")


def control(page, name):
    return page.locator(f"[data-switch={name}]")


class TestSwitches:
    def test_a_click_is_obeyed_and_shown(self, page, system):
        toggle = control(page, "daytime").get_by_role("switch", name="Daytime")
        expect(toggle).to_have_attribute("aria-checked", "false")
        toggle.click()
        expect(toggle).to_have_attribute("aria-checked", "true")
        assert system.get("/control/switches")["daytime"] is True
        wait_until(lambda: "Sun 4.00 kW" in page.locator("svg.flow").get_attribute("aria-label"), "the sun is up")

    def test_what_others_set_is_shown(self, page, system):
        system.switch("ev_mode", "solar")
        expect(control(page, "ev_mode").get_by_label("solar")).to_be_checked()
        system.switch("battery_reserve_pct", 37)
        expect(control(page, "battery_reserve_pct").get_by_role("spinbutton")).to_have_value("37")
        expect(control(page, "battery_reserve_pct").get_by_role("slider")).to_have_value("37")

    def test_a_number_is_typed_or_slid(self, page, system):
        field = control(page, "battery_reserve_pct").get_by_role("spinbutton", name="Battery reserve")
        field.fill("42.5")
        field.press("Enter")
        expect(control(page, "battery_reserve_pct")).to_have_attribute("data-value", "42.5")
        slider = control(page, "battery_reserve_pct").get_by_role("slider")
        slider.press("Home")
        wait_until(lambda: system.get("/control/switches")["battery_reserve_pct"] == 0, "the slider is obeyed")

    def test_a_choice_by_keyboard(self, page, system):
        control(page, "ev_mode").get_by_label("off").focus()
        page.keyboard.press("ArrowRight")
        wait_until(lambda: system.get("/control/switches")["ev_mode"] == "fast", "the choice is obeyed")

    def test_a_refusal_stands_in_the_device_s_words_and_nothing_changes(self, page, system):
        words = system.refused("/control/switch", {"switch": "battery_reserve_pct", "value": 150})["detail"]
        field = control(page, "battery_reserve_pct").get_by_role("spinbutton")
        field.fill("150")
        field.press("Enter")
        expect(control(page, "battery_reserve_pct").locator(".refusal")).to_have_text(words)
        expect(field).to_have_value("10")
        field.fill("20")
        field.press("Enter")
        expect(control(page, "battery_reserve_pct").locator(".refusal")).to_be_empty()

    def test_a_new_switch_and_a_new_sensor_need_no_javascript(self, open_page, url):
        def more(route):
            catalogue = route.fetch().json()
            switch = {**catalogue["switches"][0], "name": "moonlight", "title": "Moonlight", "meaning": "a new one"}
            catalogue["switches"].append(switch)
            sensor = {**catalogue["quantities"][0], "path": "pv.moon_w", "section": "pv", "title": "Moon", "unit": "W"}
            catalogue["quantities"].append(sensor)
            route.fulfill(json=catalogue)

        with open_page(None) as page:
            page.route("**/api/v1/catalogue**", more)
            page.goto(url)
            expect(control(page, "moonlight")).to_contain_text("a new one")
            page.get_by_role("link", name="Meter", exact=True).click()
            expect(page.locator("[data-path='pv.moon_w']")).to_contain_text("Moon")


class TestMarket:
    @pytest.fixture
    def market(self, page):
        page.get_by_role("link", name="Market", exact=True).click()
        expect(page.locator("[data-price=import_tariff]")).to_contain_text("0.3000")
        return page

    def order(self, market, side, kind, kwh, price=""):
        market.get_by_label(side, exact=True).check()
        market.get_by_label(kind, exact=True).check()
        market.get_by_label("Quantity").fill(str(kwh))
        market.get_by_label("Limit price").fill(str(price))
        market.get_by_role("button", name="Place the order").click()

    def test_an_order_is_placed_delivered_and_told(self, market, system):
        self.order(market, "sell", "market", 0.1)
        placed = market.locator("[data-role=placed]")
        expect(placed).to_contain_text("accepted")
        order_id = placed.inner_text().split(":")[0]
        row = market.locator(f"[data-order='{order_id}']")
        expect(row).to_contain_text("sell · market")
        system.switch("time_acceleration", 600)
        expect(row).to_have_attribute("data-status", "executed")
        system.switch("time_acceleration", 1)
        filled = float(row.get_by_role("progressbar").get_attribute("aria-valuenow"))
        assert filled == pytest.approx(0.1, abs=0.001)

    def test_an_order_that_waits_is_in_the_book_and_can_be_cancelled(self, market, system):
        system.switch("market_enabled", value=True)
        self.order(market, "buy", "limit", 1, 0.11)
        expect(market.locator(".depth .bid")).to_contain_text("0.1100")
        placed = market.locator("[data-role=placed]")
        expect(placed).to_contain_text("accepted")  # the book may tell of it before the answer is there
        order_id = placed.inner_text().split(":")[0]
        row = market.locator(f"[data-order='{order_id}']")
        row.get_by_role("button", name="Cancel").click()
        expect(row).to_have_attribute("data-status", "cancelled")
        expect(row.get_by_role("button")).to_have_count(0)
        assert system.get(f"/market/order/{order_id}")["status"] == "cancelled"

    def test_buying_off_the_grid_is_refused_in_the_device_s_words(self, market, system):
        system.switch("grid_connected", value=False)
        words = system.refused(
            "/market/order", {"side": "buy", "type": "market", "quantity_kwh": 1, "duration_sec": 900}
        )
        self.order(market, "buy", "market", 1)
        expect(market.locator("#order-refusal")).to_have_text(words["detail"])
        expect(market.locator("[data-status=failed]").first).to_contain_text("grid disconnected")

    def test_a_field_that_is_wrong_is_explained(self, market):
        self.order(market, "sell", "market", 1, 0.2)
        expect(market.locator("#order-refusal")).to_contain_text("price")

    def test_the_ledger_adds_up_to_zero(self, market):
        expect(market.locator("[data-role=ledger-sum]")).to_contain_text("0 µapt")


class TestFaults:
    @pytest.fixture
    def faults(self, page):
        page.get_by_role("link", name="Faults", exact=True).click()
        return page

    def test_the_truth_stands_beside_what_is_measured(self, faults, system):
        system.switch("daytime", value=True)
        expect(faults.locator("#truth")).to_contain_text("No fault is active")
        faults.locator("#fault-bias_pct").fill("10")
        faults.get_by_role("button", name="Inject").click()
        row = faults.locator("[data-differs='pv.pv_power_kw']")
        wait_until(lambda: row.inner_text().split()[-1] == "1.10", "the ratio is told")
        expect(row).to_contain_text("4.400")
        expect(row).to_contain_text("4.000")
        assert system.get("/control/switches")["fault_inject"] == {"bias_pct": 10}
        faults.get_by_role("button", name="End all faults").click()
        expect(faults.locator("#truth")).to_contain_text("No fault is active")

    def test_a_fault_that_is_refused(self, faults, system):
        words = system.refused("/control/switch", {"switch": "fault_inject", "value": {"bias_pct": 5000}})["detail"]
        faults.locator("#fault-bias_pct").fill("5000")
        faults.get_by_role("button", name="Inject").click()
        expect(faults.locator("#fault-refusal")).to_have_text(words)

    def test_a_meter_that_says_it_is_offline(self, faults):
        faults.locator("#fault-offline").check()
        faults.get_by_role("button", name="Inject").click()
        expect(faults.locator("[data-trouble=meter]")).to_contain_text("demo_meter is offline since")
        faults.get_by_role("button", name="End all faults").click()
        expect(faults.locator("[data-trouble]")).to_have_count(0)
        expect(faults.locator("[data-role=connection]")).to_have_text("live")


class TestInspector:
    @pytest.fixture
    def inspector(self, page):
        page.get_by_role("link", name="MQTT", exact=True).click()
        return page

    def test_a_line_that_is_pasted_works(self, inspector, system):
        line = inspector.get_by_label("Command: Daytime").inner_text()
        assert line.startswith("mosquitto_pub ")
        subprocess.run(shlex.split(line), check=True, timeout=20)
        wait_until(lambda: system.get("/control/switches")["daytime"] is True, "the pasted line is obeyed")
        expect(inspector.get_by_label("Command: Daytime")).to_contain_text("'OFF'")

    def test_topics_and_payloads_as_they_are(self, inspector, system):
        topic = inspector.locator("[data-topic='wattswap/meter/demo_meter/switches']")
        topic.get_by_role("button").click()
        assert json.loads(topic.locator("pre").inner_text()) == system.get("/control/switches")
        system.switch("daytime", value=True)
        expect(inspector.locator("[data-topic='wattswap/meter/demo_meter/ack']")).to_contain_text('"status":"ok"')
        expect(inspector.locator(".log")).to_contain_text("wattswap/meter/demo_meter/event")
        inspector.get_by_role("button", name="Pause").click()
        expect(inspector.get_by_role("button", name="Go on")).to_have_attribute("aria-pressed", "true")

    def test_copying(self, open_page, url):
        with open_page(None, permissions=["clipboard-read", "clipboard-write"]) as page:
            page.clock.install()
            page.goto(url + "?view=mqtt")
            expect(page.get_by_role("button", name="Copy: Scenario")).to_be_visible()
            page.clock.pause_at(page.evaluate("Date.now() + 60_000"))  # it says so for two seconds only
            page.get_by_role("button", name="Copy: Scenario").click()
            expect(page.get_by_role("button", name="Copied: Scenario")).to_be_visible()
            line = page.evaluate("navigator.clipboard.readText()")
            page.clock.run_for(2_000)
            expect(page.get_by_role("button", name="Copy: Scenario")).to_be_visible()
            assert line.endswith("-t wattswap/meter/demo_meter/scenario/set -m 'island-mode'")
