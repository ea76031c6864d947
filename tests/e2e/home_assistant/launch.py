"""Start Home Assistant on a config folder, `launch.py FOLDER PORT`; run by its own Python.

It listens on loopback only, is set up but for its user, and leaves out what would look for the internet by itself.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from homeassistant import __main__ as homeassistant
from homeassistant import bootstrap
from homeassistant.components.http import config as http

folder, port = Path(sys.argv[1]), int(sys.argv[2])
storage = folder / ".storage"
storage.mkdir(parents=True, exist_ok=True)


def seed(key, data, version=1, minor_version=1):
    path = storage / key
    if not path.exists():
        path.write_text(
            json.dumps({"version": version, "minor_version": minor_version, "key": key, "data": data}, default=str)
        )


address = {"server_host": ["127.0.0.1"], "server_port": port}
now = datetime.now(UTC).isoformat()
stable = {**http.HTTP_STORAGE_SCHEMA(address), "created_at": now, "error": None, "error_message": None}
seed(
    "http",
    {"stable": stable, "pending": None, "yaml_migration_done": True},
    http.STORAGE_VERSION,
    http.STORAGE_MINOR_VERSION,
)
seed("core.network", {"configured_adapters": ["lo"]})  # no mDNS on other interfaces
seed("onboarding", {"done": ["core_config", "analytics", "integration"]}, version=4)  # but for the step "user"
bootstrap.DEFAULT_INTEGRATIONS -= {"marketplace"}  # fetches a catalogue at every start
sys.argv = ["hass", "--config", str(folder), "--skip-pip", "--log-no-color"]
sys.exit(homeassistant.main())
