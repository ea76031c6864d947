"""What docs/scenarios.md says to do in the CI of another project, done as it is written there."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.running import PATIENCE_S

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scenarios.md").read_text()


@pytest.fixture
def shell(tmp_path, free_port):
    """A shell as GitHub's runners have one: each step in one of its own, what it leaves running goes on."""
    http, mqtt = free_port(), free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WATTSWAP_")}
    environ |= {"WATTSWAP_HTTP_PORT": f"{http}", "WATTSWAP_MQTT_PORT": f"{mqtt}"}
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    groups = []

    def step(script: str) -> None:
        script = script.replace("localhost:8000", f"localhost:{http}").replace("127.0.0.1:1883", f"127.0.0.1:{mqtt}")
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                ["bash", "-e", "-o", "pipefail", "-c", script],
                cwd=tmp_path, env=environ, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        groups.append(process.pid)
        assert process.wait(PATIENCE_S * 5) == 0, f"{script}\n{(tmp_path / 'log').read_text()}"

    yield step
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


def test_the_workflow_of_another_project_does_what_it_says(shell, tmp_path):
    [own] = re.findall(r"^```yaml\n(slug: outage.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    [workflow] = re.findall(r"^```yaml\n(jobs:.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "outage.yaml").write_text(own)
    steps = yaml.safe_load(workflow)["jobs"]["scenarios"]["steps"]
    [copy] = [step["with"]["path"] for step in steps if "path" in step.get("with", {})]
    scripts = [step["run"] for step in steps if "run" in step]
    assert scripts.pop(0) == f"pip install ./{copy}"  # from the network: not here
    assert len(scripts) == 3
    for script in scripts:
        shell(script)
    [reported] = [step["with"]["report_paths"] for step in steps if "report_paths" in step.get("with", {})]
    [suite] = ET.parse(tmp_path / reported).getroot()  # noqa: S314 - written a moment ago, by us
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("outage", "5", "0")
