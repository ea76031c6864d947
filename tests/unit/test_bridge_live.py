import asyncio

import pytest

from wattswap_mqtt.roles.bridge import live
from wattswap_mqtt.roles.bridge.live import Live


class Reader:
    """A client of the stream that reads when it is told to."""

    def __init__(self, hub: Live, wanted=None, present=(), last_id=None):
        self._stream = hub.stream(wanted, present, last_id)
        self.frames: list[dict] = []

    async def read(self) -> list[dict]:
        """Read one piece and return its messages."""
        piece = (await asyncio.wait_for(anext(self._stream), 10)).decode()
        found = []
        for block in piece.split("\n\n"):
            fields: dict[str, str] = {}
            for line in block.splitlines():
                name, _, value = line.partition(": ")
                fields[name] = f"{fields[name]}\n{value}" if name in fields else value
            if "event" in fields:
                found.append(fields)
        return found

    async def close(self):
        await self._stream.aclose()


def data(messages):
    return [message["data"] for message in messages]


def run(scenario):
    asyncio.run(scenario())


def test_what_is_known_comes_first_and_then_what_happens():
    async def scenario():
        hub = Live()
        reader = Reader(hub, present=[("state", "a", b"{0}"), ("switches", "a", b"{1}")])
        assert await reader.read() == []  # how long to wait before connecting again
        assert [(m["event"], m["data"]) for m in await reader.read()] == [("state", "{0}"), ("switches", "{1}")]
        hub.publish("state", "a", b"{2}", replaces=True)
        hub.publish("event", "b", b"{3}")
        assert [(m["event"], m["data"]) for m in await reader.read()] == [("state", "{2}"), ("event", "{3}")]
        assert hub.listeners == 1
        await reader.close()
        assert hub.listeners == 0

    run(scenario)


def test_only_what_is_wanted_comes():
    async def scenario():
        hub = Live()
        reader = Reader(hub, frozenset({"a"}), [("state", "b", b"{0}"), ("state", "a", b"{1}")])
        await reader.read()
        hub.publish("state", "b", b"{2}", replaces=True)
        hub.publish("trade", None, b"{3}")  # concerns the whole community
        assert data(await reader.read()) == ["{1}", "{3}"]
        await reader.close()

    run(scenario)


def test_a_client_that_comes_back_goes_on_where_it_was():
    async def scenario():
        hub = Live()
        reader = Reader(hub)
        await reader.read()
        for number in range(3):
            hub.publish("state", "a", b"%d" % number, replaces=True)
            last = (await reader.read())[-1]["id"]
        await reader.close()
        for number in range(3, 6):
            hub.publish("state", "a", b"%d" % number, replaces=True)
        hub.publish("event", "a", b"6")
        back = Reader(hub, present=[("state", "a", b"6")], last_id=last)
        await back.read()
        assert data(await back.read()) == ["3", "4", "5", "6"]  # all of it, and nothing twice
        await back.close()

    run(scenario)


@pytest.mark.parametrize(
    "last_id",
    [
        None,
        "",
        "x",
        "1",
        "-",
        "-1",
        "{boot}-",
        "{boot}-x",
        "{boot}-1",
        "{boot}-²",
        "{boot}-" + "9" * 30,
        "other-5",
        "\n",
    ],
)
def test_a_client_that_was_away_too_long_is_told_the_present(last_id, monkeypatch):
    async def scenario():
        monkeypatch.setattr(live, "REMEMBERED", 5)
        hub = Live()
        for number in range(20):
            hub.publish("event", "a", b"%d" % number)
        text = last_id.replace("{boot}", hub._boot) if last_id else last_id
        reader = Reader(hub, present=[("state", "a", b"now")], last_id=text)
        await reader.read()
        assert data(await reader.read()) == ["now"]
        await reader.close()

    run(scenario)


def test_a_slow_client_gets_the_latest_state_and_what_it_missed_is_counted():
    async def scenario():
        hub = Live()
        reader = Reader(hub)
        await reader.read()
        for number in range(1000):
            hub.publish("state", "a", b"a%d" % number, replaces=True)
            hub.publish("state", "b", b"b%d" % number, replaces=True)
        hub.publish("event", "a", b"e")
        assert data(await reader.read()) == ["a999", "b999", "e"]
        assert hub.dropped == 1998
        await reader.close()
        assert hub.dropped == 1998

    run(scenario)


def test_what_waits_for_a_slow_client_is_bounded(monkeypatch):
    async def scenario():
        monkeypatch.setattr(live, "PENDING", 10)
        hub = Live()
        reader = Reader(hub)
        await reader.read()
        for number in range(25):
            hub.publish("event", "a", b"%d" % number)
        assert data(await reader.read()) == [str(number) for number in range(15, 25)]
        assert hub.dropped == 15
        await reader.close()

    run(scenario)


def test_much_comes_in_pieces(monkeypatch):
    async def scenario():
        monkeypatch.setattr(live, "PER_WRITE", 4)
        hub = Live()
        reader = Reader(hub)
        await reader.read()
        for number in range(10):
            hub.publish("event", "a", b"%d" % number)
        assert [len(await reader.read()) for _ in range(3)] == [4, 4, 2]
        await reader.close()

    run(scenario)


def test_silence_is_broken_by_a_comment(monkeypatch):
    async def scenario():
        monkeypatch.setattr(live, "HEARTBEAT_S", 0.01)
        stream = Live().stream(None, (), None)
        await anext(stream)
        assert (await anext(stream)).startswith(b":")
        await stream.aclose()

    run(scenario)


def test_lines_within_the_data_stay_within_the_message():
    async def scenario():
        hub = Live()
        reader = Reader(hub)
        await reader.read()
        hub.publish("state", "a", b'{\n "a": 1,\r\n "event: x": 2\r}')
        [message] = await reader.read()
        assert message["event"] == "state"
        assert message["data"].splitlines() == ["{", ' "a": 1,', ' "event: x": 2', "}"]
        await reader.close()

    run(scenario)


def test_closing_ends_every_stream():
    async def scenario():
        hub = Live()
        streams = [hub.stream(None, (), None) for _ in range(3)]
        for stream in streams:
            await anext(stream)
        waiting = [asyncio.create_task(_rest(stream)) for stream in streams]
        await asyncio.sleep(0)
        hub.close()
        await asyncio.wait_for(asyncio.gather(*waiting), 10)
        assert hub.listeners == 0

    run(scenario)


async def _rest(stream):
    return [piece async for piece in stream]
