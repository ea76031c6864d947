"""The system's own Chromium, for the tests, the benchmarks and the screenshots."""

import shutil

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
)  # fmt: skip


def open_browser(playwright):
    """Return a browser that runs headless and talks to nobody but the page's server."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "chromium is not installed: `make apt`"
    return playwright.chromium.launch(executable_path=program, args=list(FLAGS), headless=True)
