"""QoS 0 frames: the lengths, and what is kept when the socket takes no more."""

import pytest

from wattswap_mqtt.mqtt.frames import BLOCK_BYTES, FrameQueue, publish_frame


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


class SlowSocket:
    """Takes a given number of bytes at a time."""

    def __init__(self, *takes: int) -> None:
        self.takes = list(takes)
        self.taken = b""

    def send_some(self, data: memoryview) -> int:
        size = min(self.takes.pop(0), len(data))
        self.taken += data[:size]
        return size


def test_the_latest_frame_of_a_topic_replaces_the_one_that_waits_but_not_the_one_half_written():
    queue = FrameQueue()
    for topic, frame in (("a", b"a1"), ("b", b"b1"), ("a", b"a2")):
        queue.put(topic, frame)
    assert (len(queue), queue.dropped) == (2, 1)
    queue.begin_block()
    sock = SlowSocket(1, 0, 100, 100)
    queue.finish_block(sock)
    assert queue.is_half_written
    queue.put("a", b"a3")
    queue.finish_block(sock)
    queue.finish_block(sock)
    assert not queue.is_half_written
    queue.begin_block()
    queue.finish_block(sock)
    assert sock.taken == b"a2b1a3"
    assert (len(queue), queue.dropped) == (0, 1)


def test_a_block_ends_when_it_is_large_enough():
    queue = FrameQueue()
    for number in range(3):
        queue.put(str(number), b"x" * (BLOCK_BYTES // 2))
    queue.begin_block()
    assert len(queue) == 1


def test_clearing_counts_what_is_lost():
    queue = FrameQueue()
    queue.put("a", b"1")
    queue.begin_block()
    queue.put("b", b"2")
    queue.clear()
    assert (len(queue), queue.dropped, queue.is_half_written) == (0, 1, False)
