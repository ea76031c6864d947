"""`python -m wattswap_mqtt.healthcheck bridge|simulator`: exit code 0 if that role is well, as a container wants it.

The settings are those of the environment, like the role's own in a container.
"""

import os
import sys
import time
import urllib.request

from wattswap_mqtt.config import Settings, load_settings, reachable
from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.core.errors import WattSwapError
from wattswap_mqtt.mqtt import Connection, Message

TIMEOUT_S = 5.0


def bridge_is_well(settings: Settings) -> bool:
    """Whether the bridge says so itself."""
    url = f"http://{reachable(settings.http_host)}:{settings.http_port}/api/v1/health"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as reply:
            return bool(reply.status == 200)
    except OSError:  # nobody answers, or 503
        return False


def simulator_is_well(settings: Settings) -> bool:
    """Whether the broker knows this community as online (if it died, its Last Will says offline)."""
    topic = Topics(settings.base_topic, settings.discovery_prefix).community_availability(settings.community)
    said: list[Message] = []
    connection = Connection(
        settings.broker_address,
        f"wattswap-healthcheck-{settings.community}-{os.getpid()}",
        subscriptions=[(topic, 1)],
        on_message=said.append,
    )
    until_s = time.monotonic() + TIMEOUT_S
    while not said and (rest_s := until_s - time.monotonic()) > 0:
        connection.wait(rest_s)
    connection.close()
    return bool(said) and said[-1].payload == b"online"


ROLES = {"bridge": bridge_is_well, "simulator": simulator_is_well}


def main() -> None:
    """Check the role named on the command line and exit."""
    if len(sys.argv) != 2 or sys.argv[1] not in ROLES:
        sys.exit(f"usage: python -m wattswap_mqtt.healthcheck {'|'.join(ROLES)}")
    try:
        well = ROLES[sys.argv[1]](load_settings())
    except WattSwapError as error:
        sys.exit(str(error))
    sys.exit(None if well else f"the {sys.argv[1]} is not well")


if __name__ == "__main__":
    main()
