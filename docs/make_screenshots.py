"""Write docs/pictures/dashboard-*.png: the dashboard as it is, of a community that has run for a while.

    python docs/make_screenshots.py

Needs Chromium (`make apt`).
"""

import subprocess
import sys
import time
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.processes import on_amqtt  # noqa: E402 - it is found only now
from tests.e2e.dashboard.browser import open_browser  # noqa: E402 - likewise

PICTURES = ROOT / "docs" / "pictures"
DESKTOP, PHONE = (1280, 800), (390, 844)
SHOTS = (
    ("home-light", "/", DESKTOP, "light"),
    ("home-dark", "/", DESKTOP, "dark"),
    ("market-dark", "/?view=market", DESKTOP, "dark"),
    ("community-light", "/?view=community", DESKTOP, "light"),
    ("phone-light", "/", PHONE, "light"),
    ("phone-dark", "/?view=market", PHONE, "dark"),
)
FLAGS = ("--meters", "60", "--bots", "6", "--start", "2026-06-21T08:00", "--tz", "Europe/Berlin", "--seed", "7")
COLOURS = 128


def main() -> None:
    """Run a community through a morning, and take the pictures."""
    with on_amqtt(*FLAGS) as system, sync_playwright() as playwright:
        url = f"http://127.0.0.1:{system.http_port}"
        _live_through_a_morning(url)
        browser = open_browser(playwright)
        for name, path, size, scheme in SHOTS:
            _shoot(browser, url + path, PICTURES / f"dashboard-{name}.png", size, scheme)
        browser.close()


def _live_through_a_morning(url: str) -> None:
    with httpx.Client(base_url=f"{url}/api/v1", timeout=30) as http:

        def post(path: str, **body: object) -> None:
            http.post(path, json=body).raise_for_status()

        def switch(name: str, value: object, meter_id: str = "demo_meter") -> None:
            post("/control/switch", switch=name, value=value, meter_id=meter_id)

        for number in range(2, 31):
            switch("market_enabled", True, f"meter_{number:05d}")
        switch("sun_mode", "auto")
        switch("market_enabled", True)
        switch("time_acceleration", 600)
        _until(http, "T11:00")
        post("/market/order", side="sell", type="market", quantity_kwh=0.8, duration_sec=1800)
        post("/market/order", side="sell", type="limit", quantity_kwh=2, duration_sec=3600, price=0.24, ttl_sec=86400)
        _until(http, "T12:20")
        switch("time_acceleration", 1)
        switch("daytime", True)
        switch("ev_plug", True)
        switch("ev_mode", "solar")
        time.sleep(20)


def _until(http: httpx.Client, moment: str) -> None:
    while (
        moment not in (told := http.get("/meter/demo_meter/snapshot").json()["timestamp"])
        and told < f"2026-06-21{moment}"
    ):
        time.sleep(0.2)


def _shoot(browser: Browser, url: str, file: Path, size: tuple[int, int], scheme: str) -> None:
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        device_scale_factor=1.5 if size == DESKTOP else 2,
    )
    page = context.new_page()
    page.goto(url)
    page.locator("main h2").first.wait_for()
    if "view" not in url:
        page.get_by_role("button", name="1 h" if size == PHONE else "1 d", exact=True).click()
    page.wait_for_timeout(3000)
    page.screenshot(path=file)
    context.close()
    with Image.open(file) as taken:  # flat colours: a palette is enough, and a third of the size
        taken.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    subprocess.run(["ls", "-l", str(file)], check=True)


if __name__ == "__main__":
    main()
