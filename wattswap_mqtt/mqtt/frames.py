"""Messages with QoS 0 as whole frames."""

from collections import OrderedDict


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

    def take(self) -> bytes:
        """Return the frame that waits longest."""
        return self._waiting.popitem(last=False)[1]
