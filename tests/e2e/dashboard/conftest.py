"""A real browser on the dashboard; whatever a page complains about fails its test."""

import re
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.e2e.dashboard.browser import open_browser
from tests.outside import serving
from tests.running import PATIENCE_S

NETWORK = re.compile(r"Failed to load resource|net::ERR_")
"""What the browser itself says about a request that is refused or fails."""

expect.set_options(timeout=PATIENCE_S * 1000)


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/e2e/dashboard" in item.path.as_posix():
            item.add_marker(pytest.mark.full)
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="module")
def browser():
    """Chromium, for one module: Playwright keeps the thread's event loop to itself for as long as it runs."""
    with sync_playwright() as playwright, open_browser(playwright) as running:
        yield running


@pytest.fixture
def open_page(browser):
    """Return a context manager that gives a page of its own; `refusals`: the test wants requests to fail."""

    @contextmanager
    def opened(url, *, refusals=False, width=1280, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(PATIENCE_S * 1000)
        page = context.new_page()
        said = []
        page.on(
            "console",
            lambda message: (
                message.type in ("error", "warning") and said.append(f"{message.text} {message.location.get('url')}")
            ),
        )
        page.on("pageerror", lambda error: said.append(str(error)))
        if url:
            page.goto(url)
        yield page
        context.close()
        unexpected = [text for text in said if not (refusals and NETWORK.search(text))]
        assert not unexpected, unexpected

    return opened


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """The whole system, with two meters that do not swing, for one module."""
    with serving(tmp_path_factory.mktemp("system"), "--load-noise", "0", "--publish-interval", "0.2") as api:
        yield api


@pytest.fixture
def url(system):
    """Where the dashboard is."""
    return str(system.http.base_url).rstrip("/") + "/"


@pytest.fixture
def page(open_page, url):
    """The first view of the demo meter, with what it shows."""
    with open_page(url, refusals=True) as opened:
        expect(opened.locator("[data-role=status-line]")).not_to_be_empty()
        yield opened
