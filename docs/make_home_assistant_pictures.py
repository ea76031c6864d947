"""Make docs/pictures/home-assistant-*.png: a real Home Assistant, seen in Chromium.

So that the Energy dashboard has a day to show, a summer's day of the demo meter is simulated, and its hourly energies
are given to Home Assistant as yesterday's statistics; everything else on the pictures is live.
"""

import json
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from playwright.sync_api import Page, sync_playwright

from tests.e2e.home_assistant.household import Household, running
from tests.running import unused_port
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.plant import DEMO_METER
from wattswap_mqtt.core.quantities import ROW

PICTURES = Path(__file__).parent / "pictures"
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]
ZONE = ZoneInfo("Europe/Berlin")
SUMMER = datetime(2026, 6, 21, tzinfo=ZONE)
SETTLED_MS = 4000
REGISTERS = ("energy_imported", "energy_exported", "pv_energy", "load_energy", "battery_charged", "battery_discharged")
PRICES = {"energy_imported_cost": ("energy_imported", 0.30), "energy_exported_compensation": ("energy_exported", 0.08)}


def main() -> None:
    """Make all of them."""
    with tempfile.TemporaryDirectory() as folder:
        ports = (unused_port(), unused_port(), unused_port())
        with running(Path(folder), ports) as house, sync_playwright() as playwright:
            prepare(house)
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 1200})
            log_in(page, house)
            take(page, house, "device", f"/config/devices/device/{house.hass.device(DEMO_METER)['id']}")
            page.goto(f"{house.hass.url}/energy/electricity", wait_until="networkidle")
            page.wait_for_timeout(SETTLED_MS)
            page.get_by_label("Previous").click()
            shoot(page, "energy")
            take(page, house, "dashboard", "/wattswap-demo/home")
            browser.close()


def prepare(house: Household) -> None:
    """Let the sun shine, fill the Energy dashboard, and give it its day."""
    hass = house.hass
    hass.call("select.select_option", entity_id="select.demo_meter_scenario", option="market-selling")
    hass.call("switch.turn_on", entity_id="switch.demo_meter_ev_plug")
    hass.call("select.select_option", entity_id="select.demo_meter_ev_mode", option="solar")
    hass.call("button.press", entity_id="button.demo_meter_sell_1_kwh")
    done = house.cli("homeassistant", "energy", "--url", hass.url, "--token", hass.token)
    if done.returncode:
        sys.exit(done.stderr)
    hours = simulated_hours()
    for register in REGISTERS:
        give(house, f"sensor.demo_meter_{register}", "kWh", [hour[register] for hour in hours])
    for name, (register, price) in PRICES.items():
        give(house, f"sensor.demo_meter_{name}", "EUR", [hour[register] * price for hour in hours])


def simulated_hours() -> list[dict[str, float]]:
    """Return the registers of a summer's day at the end of each hour."""
    community = Community((DEMO_METER,), start_s=SUMMER.timestamp(), load_noise=1.0)
    community.set_switches(0, {"sun_mode": "auto", "battery_reserve_pct": 20})
    hours = []
    for _ in range(24):
        community.advance(3600)
        readings, _ = community.read()
        hours.append({name: float(readings.values[ROW[f"derived.{name}_kwh"], 0]) for name in REGISTERS})
    return hours


def give(house: Household, statistic_id: str, unit: str, sums: list[float]) -> None:
    """Give Home Assistant the sums of a counter at the end of each hour of yesterday."""
    midnight = datetime.now(ZONE).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    rows = [
        {"start": (midnight + timedelta(hours=hour)).astimezone(UTC).isoformat(), "state": value, "sum": value}
        for hour, value in enumerate(sums)
    ]
    metadata = {
        "statistic_id": statistic_id, "source": "recorder", "name": None, "unit_of_measurement": unit,
        "has_mean": False, "mean_type": 0, "has_sum": True, "unit_class": "energy" if unit == "kWh" else None,
    }  # fmt: skip
    house.hass.ask("recorder/import_statistics", metadata=metadata, stats=rows)


def log_in(page: Page, house: Household) -> None:
    """Be the user whose token the tests have."""
    tokens = {
        "access_token": house.hass.token, "token_type": "Bearer", "refresh_token": "", "expires_in": 10**6,
        "expires": 10**13, "hassUrl": house.hass.url, "clientId": f"{house.hass.url}/",
    }  # fmt: skip
    page.add_init_script(f"localStorage.setItem('hassTokens', {json.dumps(json.dumps(tokens))})")


def take(page: Page, house: Household, name: str, path: str) -> None:
    """Take a picture of a page when it has come to rest."""
    page.goto(f"{house.hass.url}{path}", wait_until="networkidle")
    shoot(page, name)


def shoot(page: Page, name: str) -> None:
    """Take a picture of what is there when it has come to rest."""
    page.wait_for_timeout(SETTLED_MS)
    page.screenshot(path=PICTURES / f"home-assistant-{name}.png")
    sys.stdout.write(f"{name}: {page.title()}\n")


if __name__ == "__main__":
    main()
