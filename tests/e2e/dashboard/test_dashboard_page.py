"""The page itself: for everybody, on any screen, from this machine alone, and small."""

import re
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.running import wait_until

VIEWS = ["home", "market", "meter", "faults", "mqtt", "community"]
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
TRANSFERRED_BYTES = 300_000


@pytest.fixture(scope="module", autouse=True)
def _something_to_see(system):
    """A fault, alarms, orders that wait, and trades."""
    system.switch("market_enabled", value=True)
    for side, price in (("buy", 0.1), ("sell", 0.28)):
        system.post(
            "/market/order", {"side": side, "type": "limit", "quantity_kwh": 0.5, "duration_sec": 900, "price": price}
        )
    system.post("/market/order", {"side": "sell", "type": "market", "quantity_kwh": 0.2, "duration_sec": 900})
    system.switch("fault_inject", {"bias_pct": 40})


def settled(page, view):
    expect(page.locator("main h2").first).to_be_visible()
    expect(page.get_by_text("Loading …")).to_have_count(0)
    if view != "community":
        expect(page.locator("[data-role=connection]")).to_have_text("live")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_wcag_2_2_aa(open_page, url, view, scheme):
    with open_page(f"{url}?view={view}", color_scheme=scheme, bypass_csp=True) as page:
        settled(page, view)
        found = Axe().run(page, options=WCAG).response["violations"]
        assert not found, [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found]


@pytest.mark.parametrize("width", [360, 768, 2560])
@pytest.mark.parametrize("view", VIEWS)
def test_nothing_sticks_out(open_page, url, view, width):
    with open_page(f"{url}?view={view}", width=width) as page:
        settled(page, view)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        cut = page.evaluate(
            """() => [...document.querySelectorAll("main .card, main .control, main .tile")]
               .filter((one) => one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.className)"""
        )
        assert not cut


def test_structure_at_a_glance(page):
    """Who opens the page sees the picture, what it means, and its totals, one beside or below the other."""
    assert page.get_by_role("navigation", name="Views").get_by_role("link").all_inner_texts() == [
        "Home", "Market", "Meter", "Faults", "MQTT", "Community",
    ]  # fmt: skip
    assert page.locator("main h2").all_inner_texts() == [
        "Now", "History", "Totals", "Controls", "Scenarios", "Events",
    ]  # fmt: skip
    boxes = {name: page.locator(f"#{name}").bounding_box() for name in ("now", "history", "totals", "controls")}
    assert boxes["now"]["y"] == boxes["history"]["y"] < boxes["totals"]["y"] < boxes["controls"]["y"]
    assert boxes["now"]["x"] < boxes["history"]["x"]
    nodes = {
        node: page.locator(f"[data-node={node}] .disc").bounding_box()
        for node in ("sun", "grid", "home", "battery", "ev")
    }
    assert nodes["sun"]["y"] == nodes["grid"]["y"] < nodes["home"]["y"] < nodes["battery"]["y"] == nodes["ev"]["y"]
    assert nodes["sun"]["x"] == nodes["battery"]["x"] < nodes["home"]["x"] < nodes["grid"]["x"] == nodes["ev"]["x"]
    assert page.locator("[data-node=battery]").text_content().count("%") == 1
    expect(page.locator(".alarm.warning")).to_contain_text("V·I·PF disagree")


def test_on_a_phone_the_cards_stand_below_each_other(open_page, url):
    with open_page(url, width=360, height=740, is_mobile=True, has_touch=True) as page:
        settled(page, "home")
        boxes = [card.bounding_box() for card in page.locator("main .card").all()]
        assert len({box["x"] for box in boxes}) == 1
        assert [box["y"] for box in boxes] == sorted(box["y"] for box in boxes)
        page.locator("[data-switch=ev_plug]").get_by_role("switch").tap()
        expect(page.locator("[data-switch=ev_plug]")).to_have_attribute("data-value", "true")


class TestMotion:
    def test_dots_run(self, page, system):
        system.switch("daytime", value=True)
        expect(page.locator(".dots.sun.running")).to_be_visible()
        offset = "document.querySelector('.dots.sun').style.strokeDashoffset"
        first = page.evaluate(offset)
        wait_until(lambda: page.evaluate(offset) != first, "the dots move")

    def test_unless_somebody_wants_none(self, open_page, url, system):
        system.switch("daytime", value=True)
        with open_page(url, reduced_motion="reduce") as page:
            expect(page.locator(".arrow.sun")).to_be_visible()
            expect(page.locator(".dots.sun")).to_be_hidden()
            assert page.evaluate("document.querySelector('.dots.sun').style.strokeDashoffset") == ""


class TestThemes:
    def test_as_the_system_says_and_as_somebody_chooses(self, open_page, url):
        with open_page(url, color_scheme="dark") as page:
            settled(page, "home")
            theme = page.locator("html")
            expect(theme).to_have_attribute("data-theme", "dark")
            page.emulate_media(color_scheme="light")
            expect(theme).to_have_attribute("data-theme", "light")
            page.get_by_role("button", name="Use dark colours").click()
            expect(theme).to_have_attribute("data-theme", "dark")
            page.reload()
            expect(theme).to_have_attribute("data-theme", "dark")


class TestHistory:
    def test_ranges_and_zoom(self, page):
        chart = page.locator("#history .chart")
        expect(chart).to_have_attribute("aria-label", re.compile(r"PV power [\d.]+ kW"))
        with page.expect_request(re.compile(r"timeseries.*resolution=15m")):
            page.get_by_role("button", name="1 d", exact=True).click()
        box = page.locator("#history .u-over").bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] * 0.5, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.9, middle, steps=5)
        page.mouse.up()
        page.get_by_role("button", name="Reset zoom").click()
        expect(page.get_by_role("button", name="1 d", exact=True)).to_have_attribute("aria-pressed", "true")

    def test_any_quantity_can_be_drawn(self, page):
        page.get_by_label("What to draw").select_option("battery.soc_pct")
        expect(page.locator("#history .chart")).to_have_attribute("aria-label", re.compile(r"Battery SoC [\d.]+ %"))
        expect(page.locator("#history .about").last).to_contain_text("state of charge")


def test_everything_by_keyboard(page):
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.locator("[data-switch=ev_plug]").get_by_role("switch").focus()
    before = page.locator("[data-switch=ev_plug]").get_attribute("data-value")
    page.keyboard.press("Space")
    expect(page.locator("[data-switch=ev_plug]")).not_to_have_attribute("data-value", before)
    page.get_by_role("link", name="Market", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="New order")).to_be_visible()


def test_nothing_from_elsewhere_and_not_much(open_page, url):
    with open_page(None) as page:
        sizes, hosts = [], set()

        def note(request):
            hosts.add(urlsplit(request.url).netloc)
            if "/stream" not in request.url:
                found = request.sizes()
                sizes.append((request.url, found["responseBodySize"] + found["responseHeadersSize"]))

        page.on("requestfinished", note)
        page.goto(url)
        settled(page, "home")
        expect(page.locator("#history canvas")).to_be_visible()
        wait_until(lambda: page.evaluate("1") and any("timeseries" in name for name, _ in sizes), "the history is read")
        assert hosts == {urlsplit(url).netloc}
        assert sum(size for _, size in sizes) <= TRANSFERRED_BYTES, sizes


def test_the_policy_lets_nothing_foreign_in(open_page, url):
    with open_page(url, refusals=True) as page:
        settled(page, "home")
        assert page.evaluate("[...document.scripts].every((one) => one.src.startsWith(location.origin))")
        assert page.evaluate("document.querySelectorAll('script:not([src])').length") == 0


def test_names_of_meters_in_the_address_are_only_text(open_page, url):
    with open_page(url + "?meter=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E", refusals=True) as page:
        expect(page.locator("[data-trouble=unknown]")).to_contain_text("<img src=x")
        assert page.locator("img[src=x]").count() == 0
