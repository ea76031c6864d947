"""Scenarios as files: what is wrong with one is said in one line, with its place."""

import json
import re
from pathlib import Path

import pytest
import yaml
from homes import SCENARIOS
from hypothesis import example, given
from hypothesis import strategies as st

from wattswap_mqtt.contract.placed_yaml import PlacedError, read_yaml
from wattswap_mqtt.contract.scenario_documents import read_scenario, scenario_schema
from wattswap_mqtt.contract.scenario_fields import ScenarioError
from wattswap_mqtt.contract.scenario_files import (
    FOLDER,
    MOST_BYTES,
    Catalogue,
    builtin_names,
    document_and_scenario,
    read_file,
    read_folder,
)
from wattswap_mqtt.core.errors import ConfigError
from wattswap_mqtt.core.market.orders import OrderTerms
from wattswap_mqtt.core.scenarios import Cancelling, Expectation, Ordering, Start, Switching, TimedEvent

GOOD = """\
slug: outage
title: An outage
start: {soc_pct: 80}
switches:
  daytime: on
  ev_mode: off
events:
  - at: 1h30m
    name: sale
    order:
      side: sell
      type: market
      quantity_kwh: 0.2
      duration_sec: 600
  - at: 2h
    faults: {bias_pct: 10}
  - at: 2h
    cancel: sale
expect:
  - says: it is cancelled
    quantity: orders.sale.status
    is: cancelled
    at: 2h5m
  - quantity: ev.power_kw
    max: 3
    from: 10s
    until: 24h
    clock: 23:00-06:00
"""


def refusal(tmp_path: Path, text: str | bytes) -> str:
    """Return what is said of a file, without its name."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as refused:
        read_file(path)
    said = str(refused.value)
    assert "\n" not in said
    assert said.startswith(f"{path}:")
    return said.removeprefix(f"{path}:").strip()


def test_a_file_is_read_into_records(tmp_path):
    (tmp_path / "mine.yaml").write_text(GOOD)
    read = read_file(tmp_path / "mine.yaml")
    assert (read.slug, read.title, read.number) == ("outage", "An outage", None)
    assert read.changed == {"daytime": True, "ev_mode": "off"}, "as YAML 1.2 reads it"
    assert read.start == Start(soc_pct=80.0)
    terms = OrderTerms("sell", "market", 200_000, 600.0)
    assert read.events == (
        TimedEvent(5400.0, Ordering("sale", terms)),
        TimedEvent(7200.0, Switching({"fault_inject": {"bias_pct": 10}})),
        TimedEvent(7200.0, Cancelling("sale")),
    )
    cancelled, charging = read.expect
    assert (cancelled.from_s, cancelled.at_once, cancelled.says) == (7500.0, True, "it is cancelled")
    assert charging == Expectation(
        "ev.power_kw", maximum=3.0, from_s=10.0, until_s=86400.0, clock=(23 * 60, 6 * 60), tolerance_noisy=0.5
    )


@pytest.mark.parametrize(
    ("line", "instead", "says"),
    [
        ("slug: outage", "slug: outage\nslgu: x", "2:1: slgu: is no key here: did you mean slug?"),
        ("slug: outage\n", "", "1:1: slug is missing (its name"),
        ("slug: outage", "slug: Out age", "1:1: slug: takes 1 to 64 small letters, digits, - or _, not 'Out age'"),
        ("slug: outage", "slug: none", "1:1: slug: takes a name that is neither none, all nor a number"),
        ("slug: outage", "slug: all", "1:1: slug: takes a name that is neither none, all nor a number"),
        ("slug: outage", "slug: '7'", "1:1: slug: takes a name that is neither none, all nor a number"),
        ("title: An outage", "title: 5", "2:1: title: takes a text, not 5"),
        ("soc_pct: 80", "soc_pct: 120", "3:9: start.soc_pct: takes a number of at most 100, not 120"),
        ("soc_pct: 80", "soc_pct: .nan", "3:9: start.soc_pct: takes a number, not '.nan'"),
        ("soc_pct: 80", "soc: 80", "3:9: start.soc: is no key here: did you mean soc_pct?"),
        ("daytime: on", "daytime: maybe", "5:3: switches.daytime: daytime takes ON or OFF"),
        ("daytime: on", "daytme: on", "5:3: switches.daytme: is no switch: did you mean daytime?"),
        ("at: 1h30m", "at: soon", "8:5: events[0].at: takes a duration such as 30s, 15m or 1h30m"),
        ("at: 1h30m", "at: -5", "8:5: events[0].at: takes a duration"),
        ("at: 1h30m", "at: 40d", "8:5: events[0].at: takes a duration"),
        ("at: 1h30m", "at: true", "8:5: events[0].at: takes a duration"),
        ("at: 1h30m", "at: 3h", "15:5: events[1].at: is before the event above it: events stand in order of time"),
        ("side: sell", "side: left", "11:7: events[0].order.side: side takes one of sell, buy, not 'left'"),
        ("quantity_kwh: 0.2", "quantity_kwh: -1", "13:7: events[0].order.quantity_kwh: quantity_kwh takes a number"),
        ("      quantity_kwh: 0.2\n", "", "10:5: events[0].order.quantity_kwh: quantity_kwh is missing"),
        ("quantity_kwh: 0.2", "quantity: 0.2", "13:7: events[0].order.quantity: an order has no field 'quantity'"),
        ("faults: {bias_pct: 10}", "faults: {bais_pct: 10}", "16:14: events[1].faults.bais_pct: is no fault: did you"),
        ("faults: {bias_pct: 10}", "faults: {bias_pct: x}", "16:5: events[1].faults: fault_inject: bias_pct takes"),
        ("faults: {bias_pct: 10}", "switch: {}\n    cancel: sale", "15:5: events[1]: takes one of switch, switches"),
        ("    faults: {bias_pct: 10}\n", "", "15:5: events[1]: takes one of switch, switches, faults, order or cancel"),
        ("    cancel: sale", "    cancel: sail", "18:5: events[2].cancel: no event before this one places an order"),
        ("name: sale", "name: Sale!", "9:5: events[0].name: takes 1 to 64 small letters"),
        ("orders.sale.status", "orders.sail.status", "21:5: expect[0].quantity: no event places an order 'sail'"),
        ("ev.power_kw", "ev.power", "24:5: expect[1].quantity: is nothing that a meter reports: did you mean ev.power"),
        ("is: cancelled", "is: [1]", "22:5: expect[0].is: takes a number, not a list"),
        ("is: cancelled", "is: cancelled\n    min: 1", "20:5: expect[0]: takes one of is, min, max"),
        ("    is: cancelled\n", "", "20:5: expect[0]: takes one of is, min, max, trend, rate_per_hour, ratio_to_truth"),
        ("at: 2h5m", "at: 2h5m\n    until: 3h", "23:5: expect[0].at: is one moment: leave out from and until"),
        ("at: 2h5m", "tolerance: 1", "23:5: expect[0].tolerance: goes with a number"),
        ("max: 3", "max: 3\n    min: 4", "25:5: expect[1].max: takes at least min, 4"),
        ("until: 24h", "until: 5s", "27:5: expect[1].until: takes a time after from"),
        ("clock: 23:00-06:00", "clock: 23-6", "28:5: expect[1].clock: takes two times of the day such as 23:00-06:00"),
        ("clock: 23:00-06:00", "trend: up", "28:5: expect[1].trend: takes one of 'rises', 'falls' or 'steady'"),
        ("title: An outage", "title: An outage\nslug: again", "3:1: slug is here for the second time"),
        ("title: An outage", "title: &a An outage\nfurther: *a", "2:8: an alias (*) is not read: write it out"),
        ("start: {soc_pct: 80}", "start: &a {soc_pct: 80}\ndocumented: *a", "3:8: an alias (*) is not read: write it"),
        ("title: An outage", "title: !!python/name:os.system x", "2:8: tags such as tag:yaml.org,2002:python"),
        ("title: An outage", "title: !secret x", "2:8: tags such as !secret are not read"),
        ("start: {soc_pct: 80}", "start: {soc_pct: 80", "4:9: this is not YAML: "),
        ("title: An outage", "\ttitle: An outage", "2:1: this is not YAML: found a tab"),
        ("title: An outage", "? [a, b]\n: 5", "2:3: a key takes a text"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, line, instead, says):
    assert GOOD.count(line) >= 1
    assert refusal(tmp_path, GOOD.replace(line, instead, 1)).startswith(says)


@pytest.mark.parametrize(
    ("quantity", "given", "wanted"),
    [
        ("pv.pv_power_kw", "4", 4.0),
        ("truth.pv.pv_power_kw", "4", 4.0),
        ("pv.pv_status", "on", "on"),
        ("ev.plugged", "on", True),
        ("switches.daytime", "on", True),
        ("switches.ev_mode", "fast", "fast"),
        ("switches.battery_reserve_pct", "20", 20.0),
        ("alarms.power_mismatch", "yes", True),
        ("events.trade", "2", 2.0),
    ],
)
def test_a_value_is_read_as_the_meter_tells_it(tmp_path, quantity, given, wanted):
    path = tmp_path / "mine.yaml"
    path.write_text(f"slug: x\ntitle: x\nexpect: [{{quantity: {quantity}, is: {given}}}]\n")
    assert read_file(path).expect[0].equals == wanted


@pytest.mark.parametrize(
    ("quantity", "check", "says"),
    [
        ("pv.pv_power_kw", "is: on", "is: pv.pv_power_kw is a number, not 'on'"),
        ("truth.pv.pv_power_kw", "is: true", "is: pv.pv_power_kw is a number, not true"),
        ("clock.pace", "is: fast", "is: clock.pace is a number, not 'fast'"),
        ("pv.pv_status", "is: sleeping", "is: pv.pv_status is one of on, standby, fault, not 'sleeping'"),
        ("pv.pv_status", "min: 3", "quantity: pv.pv_status is no number: it takes `is`, nothing else"),
        ("ev.plugged", "trend: rises", "quantity: ev.plugged is no number"),
        ("switches.daytime", "is: maybe", "is: daytime takes ON or OFF"),
        ("switches.battery_reserve_pct", "is: 120", "is: battery_reserve_pct takes a number from 0 to 100 %, not 120"),
    ],
)
def test_what_a_meter_can_never_tell_is_not_expected(tmp_path, quantity, check, says):
    said = refusal(tmp_path, f"slug: x\ntitle: x\nexpect:\n  - quantity: {quantity}\n    {check}\n")
    line = 5 if says.startswith("is") else 4
    assert said.startswith(f"{line}:5: expect[0].{says}")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "1:1: there is nothing in it"),
        ("# nothing\n", "1:1: there is nothing in it"),
        ("just words", "1:1: takes keys and values, not 'just words'"),
        ("- a\n- b\n", "1:1: takes keys and values, not a list"),
        ("a: 1\n---\nb: 2\n", "2:1: this is not YAML: but found another document"),
        ("slug: x\ntitle: \x00", "2:8: this is not YAML: control characters are not allowed"),
        (b"slug: x\ntitle: \xff\xfe", "2:8: this is not UTF-8 text"),
        ("[" * 30_000, "1:21: this is nested too deep"),
        ("- " * 30_000, "1:41: this is nested too deep"),
        ("? " * 30_000, "1:41: this is nested too deep"),
        ("a: " + "[" * 30 + "]" * 30, "1:23: this is nested too deep"),
        ("slug: x\nswitches:\n\tdaytime: on\n", "3:1: this is not YAML: found a tab: it is indented with spaces"),
        ("#" * (MOST_BYTES + 1), f"a scenario takes at most {MOST_BYTES} bytes"),
    ],
)
def test_what_is_no_scenario_at_all(tmp_path, content, says):
    assert refusal(tmp_path, content).startswith(says)


def test_a_file_that_is_not_there_or_a_folder(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigError, match=rf"^{re.escape(str(path))}: (No such file|Is a directory)"):
            read_file(path)
    with pytest.raises(ConfigError, match=r"--scenarios .*nowhere: No such file"):
        Catalogue(tmp_path / "nowhere")


def test_a_folder_adds_to_the_packages_own(tmp_path):
    (tmp_path / "b.yaml").write_text("slug: dusk\ntitle: Dusk\n")
    (tmp_path / "a.json").write_text(json.dumps({"slug": "island-mode", "title": "Mine"}))
    (tmp_path / "readme.txt").write_text("no scenario")
    both = Catalogue(tmp_path)
    assert both.names == (*builtin_names(), "dusk")
    assert both.scenarios["island-mode"].title == "Mine"
    assert both.scenarios["dusk"].title == "Dusk"
    assert list(both.scenarios) == list(both.names)


def test_two_of_the_same_name_or_number_are_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("slug: dusk\ntitle: Dusk\nnumber: 5\n")
    (tmp_path / "b.yaml").write_text("slug: dawn\ntitle: Dawn\nnumber: 5\n")
    with pytest.raises(ConfigError, match=r"b\.yaml:1:1: there is another scenario dawn or number 5"):
        read_folder(tmp_path)
    (tmp_path / "b.yaml").write_text("slug: dusk\ntitle: Dawn\n")
    with pytest.raises(ConfigError, match="another scenario dusk"):
        read_folder(tmp_path)


def test_the_packages_files_are_called_what_they_are():
    assert tuple(SCENARIOS) == builtin_names()
    for path, scenario in zip(sorted(FOLDER.glob("*.yaml")), SCENARIOS.values(), strict=True):
        assert path.name == f"{scenario.number:02}-{scenario.slug}.yaml"
        assert scenario.description
        assert scenario.expect


def test_a_document_can_be_sent_as_json():
    for path in FOLDER.glob("*.yaml"):
        document, scenario = document_and_scenario(path)
        assert read_scenario(json.loads(json.dumps(document))) == scenario


def test_the_schema_names_every_key():
    schema = json.loads(json.dumps(scenario_schema()))
    assert {"slug", "title", "switches", "start", "events", "expect"} <= schema["properties"].keys()
    assert {"is", "min", "max", "from", "until", "trend"} <= schema["$defs"]["ExpectationModel"]["properties"].keys()
    assert "daytime" in schema["properties"]["switches"]["properties"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KEYS = ["slug", "title", "number", "switches", "start", "events", "expect", "documented", "description", "what"]


def refused_by(read, raw):
    """Return the error with which something is refused, None if it is read."""
    try:
        read(raw)
    except (ScenarioError, PlacedError) as error:
        return error
    return None


@given(st.dictionaries(st.sampled_from(KEYS), anything))
def test_whatever_is_sent_is_a_scenario_or_refused_with_a_stable_code(document):
    error = refused_by(read_scenario, document)
    if error is not None:
        assert re.fullmatch("[a-z_]+", error.code)
        assert "\n" not in error.message


@example("{")  # what is missing is missing on a line that there is not
@given(st.text(max_size=200) | anything.map(lambda value: yaml.safe_dump(value, allow_unicode=True)))
def test_whatever_stands_in_a_file_is_read_or_refused_with_its_place(text):
    error = refused_by(read_yaml, text)
    if error is not None:
        assert error.line >= 1
        assert error.column >= 1
        return
    placed = read_yaml(text)
    assert placed.where(()) >= (1, 1)
    assert placed.where(("not", "there", 5)) == placed.where(())
