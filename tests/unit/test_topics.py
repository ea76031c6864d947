import re

import pytest
from paho.mqtt.client import topic_matches_sub

from wattswap_mqtt.contract import topics
from wattswap_mqtt.contract.topics import CHANNELS, Topics, is_meter_id, meter_of_order
from wattswap_mqtt.core.errors import ConfigError


def test_topics_are_those_of_the_contract():
    of = Topics()
    assert of.state("demo_meter") == "wattswap/meter/demo_meter/state"
    assert of.order("demo_meter", "demo_meter.7") == "wattswap/meter/demo_meter/market/order/demo_meter.7"
    assert of.command("demo_meter", "switch/daytime/set") == "wattswap/meter/demo_meter/switch/daytime/set"
    assert of.community_trade("main") == "wattswap/community/main/market/trade"
    assert of.discovery("demo_meter") == "homeassistant/device/demo_meter/config"
    assert of.birth == "homeassistant/status"


def test_every_channel_has_its_method():
    """The declaration and the method of the same name say the same topic."""
    of = Topics("home/wattswap", "ha")
    for channel in CHANNELS:
        if channel in topics.COMMANDS:
            made = of.command("{meter_id}", channel.below)
        elif channel is topics.ORDER:
            made = of.order("{meter_id}", "{order_id}")
        elif channel is topics.BIRTH:
            made = of.birth
        else:
            key = "{community}" if channel.level == "community" else "{meter_id}"
            made = getattr(of, channel.name)(key)
        assert made == of.address(channel)


def test_the_base_topic_can_be_moved():
    of = Topics("home/energy", "ha/discovery")
    assert of.ack("m") == "home/energy/meter/m/ack"
    assert of.discovery("m") == "ha/discovery/device/m/config"
    assert of.parse("home/energy/meter/m/ack") == ("m", "ack")
    assert of.parse("wattswap/meter/m/ack") is None


@pytest.mark.parametrize(
    "prefix", ["", "/a", "a/", "a//b", "a/#", "+", "a b", "$SYS", "a\nb", "a\x00", "{id}", "x" * 201]
)
def test_impossible_prefixes_are_refused(prefix):
    with pytest.raises(ConfigError, match="--base-topic"):
        Topics(base=prefix)
    with pytest.raises(ConfigError, match="--discovery-prefix"):
        Topics(discovery_prefix=prefix)


def test_parse_splits_meter_and_the_rest():
    of = Topics()
    assert of.parse("wattswap/meter/demo_meter/switch/daytime/set") == ("demo_meter", "switch/daytime/set")
    assert of.parse_community("wattswap/community/main/market/trade") == ("main", "market/trade")


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "/",
        "wattswap",
        "wattswap/meter",
        "wattswap/meter/",
        "wattswap/meter/m",
        "wattswap/meter//state",
        "wattswap/meter/a b/state",
        "wattswap/meter/" + "m" * 65 + "/state",
        "wattswap/meter/mé/state",
        "wattswap/meter/m\n/state",
        "wattswap/meter/+/state",
        "wattswap/community/main/status",
        "other/wattswap/meter/m/state",
    ],
)
def test_parse_refuses_what_is_no_meters_topic(topic):
    assert Topics().parse(topic) is None


def test_subscriptions_are_a_handful_of_wildcards():
    of = Topics()
    assert of.simulator_subscriptions == [
        ("wattswap/meter/+/+/set", 1),
        ("wattswap/meter/+/+/+/set", 1),
        ("wattswap/meter/+/switch/+", 1),
        ("wattswap/meter/+/market/+", 1),
        ("homeassistant/status", 1),
    ]
    assert ("wattswap/meter/+/state", 0) in of.bridge_subscriptions
    assert ("wattswap/meter/+/market/order/+", 0) in of.bridge_subscriptions
    assert ("wattswap/meter/+/ack", 1) in of.bridge_subscriptions
    assert not any(topic.endswith("/set") for topic, _ in of.bridge_subscriptions)


def test_a_simulator_hears_every_command_and_nothing_that_it_says_itself():
    of = Topics()
    for channel in CHANNELS:
        topic = re.sub(r"\{\w+\}", "x", of.address(channel))
        heard = any(topic_matches_sub(wanted, topic) for wanted, _ in of.simulator_subscriptions)
        assert heard == (channel.sent_by == "anyone"), topic


def test_meter_ids():
    assert is_meter_id("demo_meter")
    assert is_meter_id("A-1_" * 16)
    for wrong in ("", "a/b", "a+b", "#", "a.b", "a b", "a\n", "é", "m" * 65):
        assert not is_meter_id(wrong)


def test_an_order_id_holds_its_meters_id():
    assert meter_of_order("demo_meter.12") == "demo_meter"
    for wrong in (
        "",
        "demo_meter",
        "demo_meter.",
        ".1",
        "demo_meter.x",
        "a.b.1",
        "demo_meter.1\n",
        "m." + "1" * 16,
        "m.\u0661",
    ):
        assert meter_of_order(wrong) is None
