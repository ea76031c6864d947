"""Which commands are next when many wait."""

from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.mqtt import Message
from wattswap_mqtt.roles.simulator.inbox import Inbox


def inbox_of(names: str) -> Inbox:
    """Return an inbox of commands for meters of one letter, numbered in the order in which they came; - is for none."""
    inbox = Inbox(Topics("wattswap", "homeassistant").meter_of)
    for number, name in enumerate(names):
        topic = "homeassistant/status" if name == "-" else f"wattswap/meter/{name}/switches/set"
        inbox.add(Message(topic, b"%d" % number))
    return inbox


def taken(inbox: Inbox, most: int) -> list[int]:
    return [int(message.payload) for message in inbox.take(most)]


def test_if_all_can_be_taken_they_keep_their_order():
    inbox = inbox_of("aab-a")
    assert taken(inbox, 5) == [0, 1, 2, 3, 4]
    assert len(inbox) == 0
    assert taken(inbox, 5) == []


def test_of_more_each_meter_has_its_turn():
    inbox = inbox_of("aaaaaaaabbcab-")
    assert taken(inbox, 4) == [0, 8, 10, 13]  # the oldest of each
    assert len(inbox) == 10
    assert taken(inbox, 4) == [1, 2, 9, 12]
    assert taken(inbox, 4) == [3, 4, 5, 6]
    assert taken(inbox, 4) == [7, 11]


def test_what_comes_later_for_another_meter_is_next():
    inbox = inbox_of("a" * 3000)
    taken(inbox, 100)
    inbox.add(Message("wattswap/meter/b/switches/set", b"3000"))
    assert taken(inbox, 100) == [*range(100, 199), 3000]
