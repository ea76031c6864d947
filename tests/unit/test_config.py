"""Settings: flag beats environment beats file, and what is wrong is told in one line with its name."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from wattswap_mqtt.config import BrokerAddress, Settings, flag_of, load_settings, variable_of, wanted
from wattswap_mqtt.core.errors import ConfigError


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "wattswap.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_defaults_are_those_of_the_contract():
    settings = load_settings({}, {})
    assert settings == Settings()
    assert (settings.broker, settings.mqtt_host, settings.mqtt_port, settings.mqtt_ws_port) == (
        "embedded", "127.0.0.1", 1883, None,
    )  # fmt: skip
    assert (settings.http_host, settings.http_port, settings.data_dir) == ("127.0.0.1", 8000, Path("wattswap-data"))
    assert (settings.meters, settings.community, settings.seed, settings.load_noise) == (2, "main", 1, 1.0)
    assert (settings.base_topic, settings.discovery_prefix, settings.discovery_meters) == (
        "wattswap",
        "homeassistant",
        20,
    )


def test_flag_beats_environment_beats_file(toml):
    path = toml('meters = 3\nseed = 3\ncommunity = "three"')
    environ = {"WATTSWAP_METERS": "4", "WATTSWAP_SEED": "4", "WATTSWAP_LATITUDE": "4"}
    settings = load_settings({"meters": "5"}, environ, path)
    assert (settings.meters, settings.seed, settings.community, settings.latitude) == (5, 4, "three", 4)


def test_the_file_may_be_named_by_the_environment_and_written_with_dashes(toml):
    settings = load_settings(
        {}, {"WATTSWAP_CONFIG": str(toml("http-port = 8123\nmqtt_host = '::1'\nstart = 2026-06-21"))}
    )
    assert (settings.http_port, settings.mqtt_host) == (8123, "::1")
    assert settings.start == datetime(2026, 6, 21)  # noqa: DTZ001 - naive: in the site's zone


def test_an_empty_variable_is_an_unset_one():
    assert load_settings({}, {"WATTSWAP_MQTT_WS_PORT": "", "WATTSWAP_METERS": ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("mqtt_port", "65536", "a whole number from 0 to 65535"),
        ("mqtt_port", "-1", "a whole number from 0 to 65535"),
        ("mqtt_ws_port", "http", "a whole number from 0 to 65535"),
        ("http_port", "80.5", "a whole number from 0 to 65535"),
        ("meters", "0", "a whole number from 1 to 100000"),
        ("meters", "100001", "a whole number from 1 to 100000"),
        ("meters", "9" * 5000, "a whole number from 1 to 100000"),
        ("seed", "-1", "a whole number from 0"),
        ("publish_interval", "0", "a number from 0.01 to 3600"),
        ("publish_interval", "nan", "a number from 0.01 to 3600"),
        ("load_noise", "inf", "a number from 0 to 10"),
        ("latitude", "90.1", "a number from -90 to 90"),
        ("longitude", "-181", "a number from -180 to 180"),
        ("tz", "Mars/Olympus", "an IANA time zone such as Europe/Berlin"),
        ("tz", "../../etc/passwd", "an IANA time zone"),
        ("tz", "Europe", "an IANA time zone"),
        ("start", "tomorrow", "an ISO 8601 time such as"),
        ("start", "0001-01-01T00:00:00Z", "between the years 1971 and 2199"),
        ("start", "9999-12-31", "between the years 1971 and 2199"),
        ("community", "two words", "of the characters A-Z a-z 0-9 _ -"),
        ("community", "a" * 58, "of the characters A-Z a-z 0-9 _ -"),
        ("community", "meter", "a name other than meter"),
        ("base_topic", "a/+/b", "no blanks, + or #"),
        ("base_topic", "/a", "no empty level"),
        ("discovery_prefix", "$SYS", "no leading $"),
        ("base_topic", "two words", "no blanks"),
        ("log_level", "loud", "one of debug, info, warning, error"),
        ("broker", "http://host", "mqtt://"),
        ("broker", "mqtt://", "mqtt://"),
        ("broker", "mqtt://host:99999", "mqtt://"),
        ("broker", "mqtt://host/topic", "nothing after the port"),
        ("data_dir", "~no-such-user/data", "a directory"),
        ("data_dir", "", "a directory"),
        ("history_1s_days", "-1", "a number from 0"),
        ("mqtt_host", "", "a text"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_in_one_line_with_the_name_of_its_source(name, value, right):
    with pytest.raises(ConfigError) as caught:
        load_settings({name: value}, {})
    assert str(caught.value).startswith(f"{flag_of(name)} takes ")
    assert right in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250
    if value:
        with pytest.raises(ConfigError, match=f"^{variable_of(name)} takes "):
            load_settings({}, {variable_of(name): value})


def test_a_wrong_value_in_the_file_is_told_with_its_key(toml):
    path = toml("meters = 0")
    with pytest.raises(ConfigError, match=rf"^meters in {re.escape(str(path))} takes a whole number .*, not 0$"):
        load_settings({}, {}, path)


def test_a_password_is_not_repeated():
    with pytest.raises(ConfigError) as caught:
        load_settings({"broker": "mqtt://user:secret@host:0x"}, {})
    assert "secret" not in str(caught.value)
    address = BrokerAddress.parse("mqtt://user:secret@host")
    assert "secret" not in f"{address} {address!r}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metres = 3", "metres in .* is no setting: did you mean meters?"),
        ("zzz = 3", "zzz in .* is no setting: the keys are broker, "),
        ("[wattswap]\nmeters = 3", "wattswap in .* is no setting"),
        ("meters = true", "meters in .* takes a whole number from 1 to 100000, not true"),
        ("meters = [1, 2]", "meters in .* takes a whole number"),
        ("meters = ", "is not TOML"),
    ],
)
def test_a_wrong_file_is_told(toml, text, said):
    with pytest.raises(ConfigError, match=said):
        load_settings({}, {}, toml(text))


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load_settings({}, {}, tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load_settings({}, {}, tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"community = '\xe4'")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_settings({}, {}, tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://host", BrokerAddress("host", 1883)),
        ("mqtts://host", BrokerAddress("host", 8883, tls=True)),
        ("mqtt://me:p%40ss%2Fword@10.0.0.1:1884", BrokerAddress("10.0.0.1", 1884, "me", "p@ss/word")),
        ("mqtt://[fe80::1]:1885/", BrokerAddress("fe80::1", 1885)),
    ],
)
def test_the_address_of_an_external_broker(url, address):
    assert load_settings({"broker": url}, {}).broker_address == address


@pytest.mark.parametrize(("host", "reached"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.1.2.3", "10.1.2.3")])  # noqa: S104 - not bound
def test_the_embedded_broker_is_reached_from_this_machine(host, reached):
    assert Settings(mqtt_host=host, mqtt_port=1884).broker_address == BrokerAddress(reached, 1884)


def test_a_certificate_authority_is_for_tls_and_must_be_there(tmp_path):
    with pytest.raises(ConfigError, match="mqtts://"):
        load_settings({"ca_file": __file__}, {})
    with pytest.raises(ConfigError, match="there is no file"):
        load_settings({"ca_file": str(tmp_path / "ca.pem"), "broker": "mqtts://host"}, {})
    address = load_settings({"ca_file": __file__, "broker": "mqtts://host"}, {}).broker_address
    assert address.ca_file == Path(__file__)


@pytest.mark.parametrize(
    ("start", "utc"),
    [
        ("2026-06-21T12:00", datetime(2026, 6, 21, 10, tzinfo=UTC)),
        ("2026-12-21T12:00", datetime(2026, 12, 21, 11, tzinfo=UTC)),
        ("2026-06-21T12:00:00-05:00", datetime(2026, 6, 21, 17, tzinfo=UTC)),
    ],
)
def test_a_naive_start_is_in_the_zone_of_the_site(start, utc):
    assert load_settings({"start": start}, {}).start_s == utc.timestamp()
    assert Settings().start_s is None


def test_settings_do_not_change_and_know_no_others():
    with pytest.raises(ValidationError):
        Settings().meters = 3
    with pytest.raises(ValidationError):
        Settings(metres=3)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is_and_what_it_takes(name):
    assert Settings.model_fields[name].description
    assert wanted(name)
