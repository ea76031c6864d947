"""Print what integrations of Home Assistant need from PyPI, the default ones included; run by its own Python."""

import json
import sys
from pathlib import Path

import homeassistant
from homeassistant import bootstrap

FOLDER = Path(homeassistant.__file__).parent / "components"
ALWAYS = (
    bootstrap.CORE_INTEGRATIONS
    | bootstrap.LOGGING_AND_HTTP_DEPS_INTEGRATIONS
    | bootstrap.FRONTEND_INTEGRATIONS
    | bootstrap.DEFAULT_INTEGRATIONS
    | bootstrap.CRITICAL_INTEGRATIONS
)


def needed(domains):
    """Return the requirements of some integrations and of all that these depend on."""
    requirements, seen, waiting = set(), set(), set(domains)
    while waiting:
        seen.add(domain := waiting.pop())
        if (path := FOLDER / domain / "manifest.json").exists():
            manifest = json.loads(path.read_text())
            requirements.update(manifest.get("requirements", ()))
            waiting.update(set(manifest.get("dependencies", ())) - seen)
    return requirements


if __name__ == "__main__":
    sys.stdout.write("\n".join(sorted(needed(ALWAYS | set(sys.argv[1:])))))
