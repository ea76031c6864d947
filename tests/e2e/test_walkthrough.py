"""docs/walkthrough.md is what the system does today: the script that wrote it is run again."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "walkthrough.md"

VARYING = (
    (r"^date: .*", "date: …"),
    (r"^content-length: \d+", "content-length: …"),
    (r"WattSwap MQTT [\d.]+", "WattSwap MQTT …"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", "…"),
    (r'"client_order_id":"[0-9a-f]{32}"', '"client_order_id":"…"'),
    (r'("soc_pct|"filled_kwh|"remaining_kwh|"amount_apt|"executions":.*?"quantity_kwh)":[\d.]+', r'\1":…'),
)
"""Times, ids of the bridge's making, and what depends on how long something took."""


def without_what_varies(text):
    for pattern, instead in VARYING:
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    return text


@pytest.mark.full
@pytest.mark.timeout(300)
def test_the_walkthrough_is_what_happens(tmp_path):
    again = tmp_path / "walkthrough.md"
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "make_walkthrough.py", again],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert without_what_varies(again.read_text()) == without_what_varies(PAGE.read_text()), (
        "docs/walkthrough.md is out of date: python docs/make_walkthrough.py writes it anew"
    )


@pytest.mark.parametrize("half", ["With curl", "With mosquitto_pub and mosquitto_sub"])
def test_the_walkthrough_shows_the_steps_of_the_seed(half):
    [text] = re.findall(rf"^## {half}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^### (\d)\. (.*)", text, re.MULTILINE)
    assert [number for number, _ in titles] == list("1234567")
    steps = re.split(r"^### \d\. .*\n", text, flags=re.MULTILINE)
    figures = [
        {name: [float(value) for value in re.findall(rf'"{name}":(-?[\d.]+)', step)] for name in FIGURES}
        for step in steps
    ]
    assert figures[1]["pv_power_kw"] == [0.0]
    assert figures[3]["pv_power_kw"] == [4.0]
    assert figures[5]["grid_export_kw"] == figures[5]["net_power_kw"] == [5.0, 5.0]
    assert figures[5]["soc_pct"][1] < figures[5]["soc_pct"][0]
    assert figures[6]["grid_export_kw"] == [0.0]
    assert '"code":"grid_disconnected"' in steps[7]
    assert '"order_id":"demo_meter.2"' in steps[7]
    if half == "With curl":
        assert re.findall(r"^HTTP/1.1 (\d+)", text, re.MULTILINE) == ["200", "200", "200", "409"]
    else:
        assert re.findall(r'/ack .*"status":"(ok|error)"', text) == ["ok", "ok", "ok", "error"]


FIGURES = ("pv_power_kw", "soc_pct", "grid_export_kw", "net_power_kw")
