"""QoS 0 frames: the lengths, and what is kept when the socket takes no more."""

import pytest

from wattswap_mqtt.mqtt.frames import FrameQueue, publish_frame


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
@pytest.mark.parametrize("retain", [False, True])
def test_a_frame_of_every_length(length, retain):
    """The lengths at which the length itself takes one byte more.  Source: MQTT 3.1.1, table 2.4."""
    topic = "tø/x"
    payload = b"x" * max(0, length - 2 - len(topic.encode()))
    frame = publish_frame(topic, payload, retain=retain)
    assert frame[0] == (0x31 if retain else 0x30)
    remaining, digits = 0, 0
    while True:
        digit = frame[1 + digits]
        remaining |= (digit & 0x7F) << 7 * digits
        digits += 1
        if digit < 0x80:
            break
    assert frame[1 + digits :] == b"\x00\x05" + topic.encode() + payload
    assert remaining == len(frame) - 1 - digits


def test_the_latest_frame_of_a_topic_replaces_the_one_that_waits():
    queue = FrameQueue()
    for topic, frame in (("a", b"a1"), ("b", b"b1"), ("a", b"a2")):
        queue.put(topic, frame)
    assert (len(queue), queue.dropped) == (2, 1)
    assert [queue.take(), queue.take()] == [b"a2", b"b1"]
    assert (len(queue), queue.dropped) == (0, 1)


def test_clearing_counts_what_is_lost():
    queue = FrameQueue()
    queue.put("a", b"1")
    queue.clear()
    assert (len(queue), queue.dropped) == (0, 1)
