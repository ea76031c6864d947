"""What is deployed: the image's command, the compose file, mosquitto's configuration, the health checks."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from websockets.sync.client import connect as connect_websocket

from tests.running import MosquittoProcess
from wattswap_mqtt import cli
from wattswap_mqtt.config import BrokerAddress, Settings, load_settings, variable_of

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"] == "wattswap"}


def settings_of(command: list[str]) -> tuple[str, Settings]:
    """Return the command's name and its settings, as the command line reads them."""
    arguments = vars(cli._parser().parse_args(command))
    flags = {name: value for name, value in arguments.items() if name in Settings.model_fields}
    return command[0], load_settings(flags, environ={})


def image_instruction(name: str) -> list[str]:
    return json.loads(re.search(rf"^{name} (\[.*\])$", DOCKERFILE, re.MULTILINE)[1])


def test_the_image_serves_everything_to_other_machines():
    assert image_instruction("ENTRYPOINT") == ["wattswap"]
    name, settings = settings_of(image_instruction("CMD"))
    assert name == "up"
    assert (settings.http_host, settings.mqtt_host) == ("0.0.0.0", "0.0.0.0")  # noqa: S104
    assert (settings.http_port, settings.mqtt_port) == (8000, 1883)
    assert settings.embedded


def test_the_image_has_what_it_copies_and_is_told_nothing_else():
    copied = {
        path
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
        for path in sources.split()
    }
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == sent
    assert all((ROOT / path).exists() for path in copied)


@pytest.mark.parametrize("service", OURS)
def test_the_commands_of_compose_are_commands_of_ours(service):
    name, settings = settings_of(OURS[service]["command"])
    assert name == service
    if "ports" in OURS[service]:
        assert settings.http_host == "0.0.0.0"  # noqa: S104
        assert [port.rpartition(":")[2] for port in OURS[service]["ports"]] == [str(settings.http_port)]


OF_THE_CONTAINER = {
    *("ca_file", "load_csv", "pv_csv", "price_csv", "scenarios", "data_dir"),
    *("mqtt_host", "mqtt_port", "mqtt_ws_port", "http_host", "http_port"),
}
"""Settings that are paths, addresses and ports inside a container."""


@pytest.mark.parametrize("service", OURS)
def test_compose_hands_on_every_setting(service):
    environment = OURS[service]["environment"]
    assert set(environment) == {variable_of(name) for name in Settings.model_fields if name not in OF_THE_CONTAINER}
    defaults = {
        name: re.fullmatch(r"\$\{(\w+):-(.*)\}", value).groups() for name, value in environment.items() if value
    }
    assert all(variable == name for name, (variable, _) in defaults.items())
    settings = load_settings({}, environ={name: default for name, (_, default) in defaults.items()})
    assert settings.broker_address == BrokerAddress("mosquitto", 1883)


def test_compose_checks_the_health_of_every_service_and_keeps_its_data():
    for name, service in COMPOSE["services"].items():
        assert "healthcheck" in service or f'wattswap_mqtt.healthcheck", "{name}"' in DOCKERFILE
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).is_dir()


def test_compose_is_reached_from_this_machine_only_unless_asked_otherwise():
    for service in COMPOSE["services"].values():
        assert all(port.startswith("${WATTSWAP_PUBLISH_ON:-127.0.0.1}:") for port in service.get("ports", []))


# mosquitto with the configuration as it is deployed, ports and paths apart.


@contextmanager
def mosquitto_with(settings: str, directory: Path, port: int, ws_port: int) -> Iterator[MosquittoProcess]:
    settings = settings.replace("/mosquitto/config/", f"{ROOT}/mosquitto/").replace("/mosquitto/data/", f"{directory}/")
    settings = settings.replace("listener 1883", "").replace("listener 9001", f"listener {ws_port} 127.0.0.1")
    mosquitto = MosquittoProcess(port, directory, settings)
    mosquitto.start()
    try:
        yield mosquitto
    finally:
        mosquitto.stop()


@pytest.fixture
def configuration() -> str:
    return (ROOT / "mosquitto" / "mosquitto.conf").read_text()


@pytest.mark.full
def test_mosquitto_as_it_is_deployed(configuration, tmp_path, free_port, make_probe):
    """WebSockets are served, many meters' states at once reach a slow client, what is retained survives a restart."""
    ws_port = free_port()
    with mosquitto_with(configuration, tmp_path, free_port(), ws_port) as mosquitto:
        slow, sender = make_probe(mosquitto.address), make_probe(mosquitto.address)
        slow.subscribe("m/#")
        with slow._news:  # its thread stands still
            for number in range(5_000):
                sender._client.publish(f"m/{number}", b"x" * 1_000, 0)
            sender.publish("m/end", "", retain=True)
        slow.wait_for("m/end")
        assert len(slow.received) == 5_001
        with connect_websocket(f"ws://127.0.0.1:{ws_port}/mqtt", subprotocols=["mqtt"]) as websocket:
            assert websocket.subprotocol == "mqtt"
        sender.publish("kept", "1", retain=True)
        mosquitto.stop()
        mosquitto.start()
        later = make_probe(mosquitto.address)
        later.subscribe("kept")
        assert later.wait_for("kept").payload == b"1"


@pytest.mark.full
def test_mosquitto_with_passwords_as_its_configuration_says(configuration, tmp_path, free_port, make_probe):
    """The commented lines taken in: each user may do what `acl` says, and nobody else anything."""
    passwords = tmp_path / "passwords"
    passwords.touch()
    for user in ("wattswap", "homeassistant", "viewer"):
        subprocess.run(["mosquitto_passwd", "-b", passwords, user, f"{user}'s"], check=True)
    configuration = configuration.replace("\nallow_anonymous true", "\n#")
    configuration = re.sub(
        r"^#(allow_anonymous false|password_file|acl_file)", r"\1", configuration, flags=re.MULTILINE
    )
    configuration = configuration.replace("/mosquitto/config/passwords", str(passwords))
    with mosquitto_with(configuration, tmp_path, free_port(), free_port()) as mosquitto:
        where = (mosquitto.address.host, mosquitto.address.port)
        device, hub, viewer = (
            make_probe(BrokerAddress(*where, user, f"{user}'s")) for user in ("wattswap", "homeassistant", "viewer")
        )
        for probe in (device, hub, viewer):
            probe.subscribe("wattswap/#")
            probe.subscribe("homeassistant/#")
        setting = "wattswap/meter/demo_meter/switch/daytime/set"
        viewer.publish(setting, "viewer")
        hub.publish("wattswap/meter/demo_meter/state", "hub")
        hub.publish(setting, "hub")
        hub.publish("homeassistant/status", "online")
        device.wait_for("homeassistant/status")
        assert [(message.topic, message.payload) for message in device.received] == [
            (setting, b"hub"),
            ("homeassistant/status", b"online"),
        ]
        device.publish("wattswap/meter/demo_meter/state", "device")
        assert viewer.wait_for("wattswap/meter/demo_meter/state").payload == b"device"
        for stranger in (BrokerAddress(*where, "viewer", "wrong"), BrokerAddress(*where)):
            with pytest.raises(pytest.fail.Exception, match="the probe is connected"):
                make_probe(stranger, patience_s=0.5)


# The health checks.


def check(role: str, environment: dict[str, str]) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "wattswap_mqtt.healthcheck", role]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_simulator_is_well_when_the_broker_says_so(broker, make_probe):
    environment = {"WATTSWAP_BROKER": f"mqtt://127.0.0.1:{broker.address.port}", "WATTSWAP_COMMUNITY": "north"}
    topic = "wattswap/community/north/availability"
    probe = make_probe(broker.address)
    probe.publish(topic, "online", retain=True)
    assert check("simulator", environment).returncode == 0
    probe.publish(topic, "offline", retain=True)
    unwell = check("simulator", environment)
    assert (unwell.returncode, unwell.stderr) == (1, "the simulator is not well\n")


def test_the_bridge_is_well_when_it_says_so():
    statuses = [200, 503]

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.path == "/api/v1/health"
            self.send_response(statuses.pop(0))
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        environment = {"WATTSWAP_HTTP_HOST": "0.0.0.0", "WATTSWAP_HTTP_PORT": str(server.server_port)}  # noqa: S104
        serving = threading.Thread(target=lambda: [server.handle_request() for _ in range(2)])
        serving.start()
        assert check("bridge", environment).returncode == 0
        assert check("bridge", environment).returncode == 1
        serving.join()
    assert check("bridge", environment).returncode == 1


def test_a_health_check_of_nothing_is_said():
    assert "usage: python -m wattswap_mqtt.healthcheck bridge|simulator" in check("broker", {}).stderr
    assert "WATTSWAP_HTTP_PORT" in check("bridge", {"WATTSWAP_HTTP_PORT": "many"}).stderr
