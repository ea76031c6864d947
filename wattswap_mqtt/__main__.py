"""The command `wattswap`, and `python -m wattswap_mqtt`.

The command line is imported last: until then, which takes a good part of a second, a signal ends the process without a
word.
"""

import os
import signal
import sys
from types import FrameType

SERVING = ("up", "broker", "simulator", "bridge")
"""Commands that run until somebody ends them, which is no failure."""


def main() -> None:
    """Run the command line."""
    serves = sys.argv[1:2] and sys.argv[1] in SERVING

    def leave(number: int, _frame: FrameType | None) -> None:
        os._exit(0 if serves else 128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)

    from wattswap_mqtt import cli

    if not serves:  # the others leave behind what they have to put in order: the cursor, a scenario
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
    cli.main()


if __name__ == "__main__":
    main()
