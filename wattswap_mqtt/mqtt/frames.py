"""Messages with QoS 0 as whole frames, written many at once."""

from collections import OrderedDict

from wattswap_mqtt.mqtt.dial import BufferedSocket

BLOCK_BYTES = 256 * 1024
"""Written in one go: an acknowledgement waits for at most so much telemetry."""


def publish_frame(topic: str, payload: bytes, *, retain: bool) -> bytes:
    """Return a whole PUBLISH packet with QoS 0.  Source: OASIS MQTT 3.1.1, sections 2.2 and 3.3."""
    name = topic.encode()
    length = 2 + len(name) + len(payload)
    header = bytearray((0x31 if retain else 0x30,))
    while length > 0x7F:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    header.append(length)
    return b"".join((header, len(name).to_bytes(2, "big"), name, payload))


class FrameQueue:
    """Frames that wait for the socket, the latest of each topic; so it is bounded by the number of topics."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.dropped = 0
        """Frames that were replaced by a later one, or cleared."""
        self._waiting: OrderedDict[str, bytes] = OrderedDict()
        self._half_written = memoryview(b"")

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, topic: str, frame: bytes) -> None:
        """Queue a frame in the place of the one that waits for the same topic, if any."""
        self.dropped += topic in self._waiting
        self._waiting[topic] = frame

    def clear(self) -> None:
        """Forget everything: there is no connection any more."""
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self._half_written = memoryview(b"")

    @property
    def is_half_written(self) -> bool:
        """Whether the socket has taken a part of a block: until it has the rest, nobody else may write."""
        return bool(self._half_written)

    def finish_block(self, sock: BufferedSocket) -> None:
        """Write the rest of the half-written block as far as the socket takes it; raises OSError."""
        if self._half_written:
            self._half_written = self._half_written[sock.send_some(self._half_written) :]

    def begin_block(self) -> None:
        """Join waiting frames to the next block."""
        frames: list[bytes] = []
        size = 0
        while self._waiting and size < BLOCK_BYTES:
            _, frame = self._waiting.popitem(last=False)
            frames.append(frame)
            size += len(frame)
        self._half_written = memoryview(b"".join(frames))
