"""What a broker has not told is asked for again: a part at a time, not for ever, and not while it is being told."""

import pytest

from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.roles.bridge import gaps
from wattswap_mqtt.roles.bridge.gaps import Gaps
from wattswap_mqtt.roles.bridge.latest import Latest


class Connection:
    def __init__(self):
        self.fetched: list[list[str]] = []

    def fetch(self, topics):
        if topics:
            self.fetched.append(topics)


@pytest.fixture
def latest():
    found = Latest()
    found.broker_came()
    return found


@pytest.fixture
def connection():
    return Connection()


@pytest.fixture
def watcher(latest, connection):
    return Gaps(latest, connection, Topics())


def tell(latest, meter_id, *names):
    for name in names:
        latest.put(meter_id, name, b"{}")


def test_what_was_not_told_is_asked_for(latest, connection, watcher):
    tell(latest, "meter_00002", "state")
    tell(latest, "meter_00003", "state", "availability", "switches", "scenario")
    latest.put_community("main", "status", b"{}")
    watcher.look()
    below = "wattswap/meter/meter_00002"
    assert connection.fetched == [
        ["wattswap/community/main/availability", f"{below}/availability", f"{below}/scenario", f"{below}/switches"]
    ]
    tell(latest, "meter_00002", "availability", "switches", "scenario")
    latest.put_community("main", "availability", b"online")
    watcher.look()
    watcher.look()
    assert len(connection.fetched) == 1


def test_what_was_cleared_is_missing_but_not_of_a_meter_that_is_cleared_altogether(latest, connection, watcher):
    for meter_id in ("meter_00002", "meter_00003"):
        tell(latest, meter_id, "state", "availability", "switches", "scenario")
    watcher.look()
    assert connection.fetched == []
    latest.put("meter_00002", "switches", b"")
    for name in ("switches", "scenario", "state", "availability"):
        latest.put("meter_00003", name, b"")
    watcher.look()
    assert connection.fetched == [["wattswap/meter/meter_00002/switches"]]


def test_what_nobody_retains_is_not_asked_for_for_ever_but_anew_after_an_outage(latest, connection, watcher):
    tell(latest, "somebody_else", "state", "availability")
    for _ in range(10):
        watcher.look()
    assert len(connection.fetched) == gaps.TIMES
    latest.broker_went()
    watcher.look()
    assert len(connection.fetched) == gaps.TIMES
    latest.broker_came()
    tell(latest, "somebody_else", "state", "availability")
    watcher.look()
    assert len(connection.fetched) == gaps.TIMES + 1


def test_so_much_at_a_time_and_nothing_while_it_comes_in(latest, connection, watcher, monkeypatch):
    monkeypatch.setattr(gaps, "AT_ONCE", 10)
    for number in range(2, 30):
        tell(latest, f"meter_{number:05d}", "state", "switches", "scenario")
    watcher.look()
    assert [len(topics) for topics in connection.fetched] == [10]
    tell(latest, "meter_00002", "availability")
    watcher.look()
    assert len(connection.fetched) == 1
    watcher.look()
    assert [len(topics) for topics in connection.fetched] == [10, 10]


def test_of_a_meter_that_is_gone_nothing_is_missing(latest, connection, watcher):
    latest.put_community("main", "availability", b"online")
    latest.put_community("main", "status", b'{"meters": 2}')
    tell(latest, "meter_00003", "availability")
    watcher.look()
    assert connection.fetched == []
