"""Broker, simulator and bridge go and come back under an open page, which is never loaded again."""

import pytest
from playwright.sync_api import expect

from tests.processes import launch
from tests.running import MosquittoProcess

QUICK = ("--publish-interval", "0.2", "--load-noise", "0")


class Parts:
    """The roles as processes of their own."""

    def __init__(self, directory, free_port):
        self._directory = directory
        self._http_port = free_port()
        self.broker = MosquittoProcess(free_port(), directory)
        self.broker.start()
        self._processes = {}

    def start(self, role):
        where = ("--broker", f"mqtt://127.0.0.1:{self.broker.address.port}")
        flags = ("--http-port", str(self._http_port)) if role == "bridge" else QUICK
        self._processes[role] = process = launch(self._directory / role, role, *where, *flags)
        return process.wait_to_say(r"dashboard +(http://\S+)/\n" if role == "bridge" else r"broker +(\S+)")[1]

    def stop(self, role):
        assert self._processes.pop(role).end() == 0

    def close(self):
        for process in self._processes.values():
            process.kill()
        self.broker.stop()


@pytest.fixture
def parts(tmp_path, free_port):
    running = Parts(tmp_path, free_port)
    yield running
    running.close()


@pytest.fixture
def page(parts, open_page):
    parts.start("simulator")
    url = parts.start("bridge")
    with open_page(url, refusals=True) as opened:
        is_live(opened)
        opened.evaluate("window.loadedOnce = true")
        yield opened
        assert opened.evaluate("window.loadedOnce") is True, "the page was loaded again"


def is_live(page):
    expect(page.locator("[data-role=connection]")).to_have_text("live")
    expect(page.locator("[data-trouble]")).to_have_count(0)


def goes_on(page):
    """Wait until a state has come."""
    before = page.locator(".top time").get_attribute("datetime")
    expect(page.locator(".top time")).not_to_have_attribute("datetime", before)


def test_the_simulator(parts, page):
    goes_on(page)
    parts.stop("simulator")
    expect(page.locator("[data-trouble=simulator]")).to_contain_text("The simulator is away since")
    expect(page.locator("[data-role=status-line]")).not_to_be_empty()  # the last that is known
    page.locator("[data-switch=daytime]").get_by_role("switch").click()
    expect(page.locator("[data-switch=daytime] .refusal")).to_contain_text("simulator")
    parts.start("simulator")
    is_live(page)
    goes_on(page)


def test_the_broker(parts, page):
    parts.broker.stop()
    expect(page.locator("[data-trouble=broker]")).to_contain_text("The broker is away since")
    page.locator("[data-switch=daytime]").get_by_role("switch").click()
    expect(page.locator("[data-switch=daytime] .refusal")).to_contain_text("broker")
    parts.broker.start()
    is_live(page)
    goes_on(page)


def test_the_bridge(parts, page):
    parts.stop("bridge")
    expect(page.locator("[data-trouble=bridge]")).to_contain_text("The bridge does not answer since")
    page.locator("[data-switch=daytime]").get_by_role("switch").click()
    expect(page.locator("[data-switch=daytime] .refusal")).to_contain_text("away")
    parts.start("bridge")
    is_live(page)
    goes_on(page)
    page.locator("[data-switch=daytime]").get_by_role("switch").click()
    expect(page.locator("[data-switch=daytime]")).to_have_attribute("data-value", "true")


def test_a_page_that_is_opened_before_there_is_any_meter(parts, open_page):
    with open_page(parts.start("bridge"), refusals=True) as page:
        expect(page.locator("[data-trouble=nobody]")).to_contain_text("No meter has announced itself")
        parts.start("simulator")
        is_live(page)
        goes_on(page)


def test_a_page_that_is_opened_while_the_broker_is_away(parts, open_page):
    parts.start("simulator")
    url = parts.start("bridge")
    parts.broker.stop()
    with open_page(url, refusals=True) as page:
        expect(page.locator("[data-trouble=broker]")).to_contain_text("The broker is away")
        parts.broker.start()
        is_live(page)
        goes_on(page)


def test_a_meter_that_there_is_not(parts, open_page):
    parts.start("simulator")
    with open_page(parts.start("bridge") + "/?meter=meter_77777", refusals=True) as page:
        expect(page.locator("[data-trouble=unknown]")).to_contain_text("There is no meter meter_77777")
        page.get_by_role("link", name="All meters").click()
        expect(page.locator("[data-meter]")).to_have_count(2)
        page.locator("[data-meter=meter_00002]").click()
        is_live(page)
        expect(page).to_have_title("meter_00002 · Home · WattSwap")
