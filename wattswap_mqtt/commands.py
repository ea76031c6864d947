"""What each command of the command line does; what it needs is imported when it is run."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence

from wattswap_mqtt import __version__
from wattswap_mqtt.app import Role, serve, set_up_logging
from wattswap_mqtt.config import Settings, load_settings
from wattswap_mqtt.core.errors import ConfigError

Command = Callable[[argparse.Namespace], int | None]
"""Returns the exit code, None for 0."""


def _settings(args: argparse.Namespace) -> Settings:
    settings = load_settings(
        {name: value for name, value in vars(args).items() if name in Settings.model_fields}, config=args.config
    )
    set_up_logging(settings)
    return settings


def _quietly(settings: Settings) -> Settings:
    """Say only what is wrong beside the tables of a command, unless more was asked for."""
    if "log_level" not in settings.model_fields_set:
        logging.getLogger().setLevel(logging.WARNING)
    return settings


def roles(*roles: Role) -> Command:
    """Return the command that runs some roles until somebody ends it."""

    def run(args: argparse.Namespace) -> None:
        settings = _settings(args)
        if roles == ("broker",) and not settings.embedded:
            raise ConfigError("wattswap broker runs the embedded broker: leave out --broker (or run that one instead)")
        serve(settings, roles, lambda running: print(what_to_paste(running, roles), flush=True))

    return run


def what_to_paste(settings: Settings, roles: Sequence[Role]) -> str:
    """Return what is to be opened in a browser and pasted into a shell, now that `roles` run."""
    lines = [f"WattSwap MQTT {__version__}: {', '.join(roles)} running; Ctrl-C ends it", ""]
    if "bridge" in roles:
        lines += [f"  dashboard  {settings.web_url}/", f"  API docs   {settings.web_url}/docs"]
    broker = settings.broker_address
    lines += [f"  broker     {broker}"]
    if "broker" in roles and settings.embedded and settings.mqtt_ws_port is not None:
        lines += [f"             ws://{broker.host}:{settings.mqtt_ws_port} (MQTT over WebSocket)"]
    lines += [""]
    if "simulator" in roles:
        from wattswap_mqtt.core.plant import meter_ids

        options = f"-h {broker.host} -p {broker.port}"
        if broker.tls:
            options += f" --cafile {broker.ca_file}" if broker.ca_file else " --tls-use-os-certs"
        if broker.username:
            options += f" -u {broker.username} -P …"
        meter = f"{settings.base_topic}/meter/{meter_ids(settings.community, 1)[0]}"
        lines += [
            "  paste into a shell:",
            f"  mosquitto_sub {options} -t {meter}/state",
            f"  mosquitto_pub {options} -t {meter}/switch/daytime/set -m ON",
            "",
        ]
    return "\n".join(lines)


def list_scenarios(args: argparse.Namespace) -> None:
    """List the scenarios."""
    from wattswap_mqtt import scenario_report
    from wattswap_mqtt.contract.scenario_files import Catalogue

    scenario_report.print_list(list(Catalogue(_settings(args).scenarios).scenarios.values()))


def show_scenario(args: argparse.Namespace) -> None:
    """Show one scenario."""
    from wattswap_mqtt import scenario_report, scenario_runner

    scenario_report.print_scenario(scenario_runner.named(args.name, _settings(args)))


def run_scenario(args: argparse.Namespace) -> int:
    """Play scenarios and compare what the meter tells with what is expected."""
    from wattswap_mqtt import scenario_runner

    options = scenario_runner.Options(args.meter, args.accelerate, args.expect_only, args.junit, args.json)
    return scenario_runner.run(_quietly(_settings(args)), args.name, options)


def check_scenarios(args: argparse.Namespace) -> int:
    """Check files of scenarios; exit code 2 if one is wrong."""
    from wattswap_mqtt.contract.scenario_files import read_file

    wrong = 0
    for path in args.files:
        try:
            scenario = read_file(path)
        except ConfigError as error:
            wrong += 1
            print(f"wattswap: {error}", file=sys.stderr)
        else:
            print(f"{path}: {scenario.slug}, {len(scenario.events)} events, {len(scenario.expect)} expectations")
    return 2 if wrong else 0


def print_scenario_schema(_args: argparse.Namespace) -> None:
    """Print the JSON schema of a scenario."""
    import json

    from wattswap_mqtt.contract.scenario_documents import scenario_schema

    print(json.dumps(scenario_schema(), indent=2, ensure_ascii=False))


def watch_meters(args: argparse.Namespace) -> None:
    """Show a live table of meters."""
    from wattswap_mqtt import watch

    watch.watch(_quietly(_settings(args)), args.meter)


def fill_energy_dashboard(args: argparse.Namespace) -> None:
    """Fill Home Assistant's Energy dashboard."""
    from wattswap_mqtt import energy_dashboard
    from wattswap_mqtt.core.plant import DEMO_METER

    token = args.token or os.environ.get("HASS_TOKEN")
    if not token:
        raise ConfigError("--token, or HASS_TOKEN in the environment, is needed: a long-lived access token")
    energy_dashboard.fill(args.url, token, args.meter or [DEMO_METER])


def announce_meters(args: argparse.Namespace) -> None:
    """Announce meters to Home Assistant, or take them back."""
    from wattswap_mqtt.remote_meter import RemoteMeter

    settings = _quietly(_settings(args))
    for meter_id in args.meters_to_announce:
        with RemoteMeter(settings, meter_id) as meter:
            meter.command("discovery/set", not args.off)
        print(f"{meter_id} is {'not announced any more' if args.off else 'announced'}")


def simulate(args: argparse.Namespace) -> None:
    """Let homes live without MQTT, and print what it adds up to."""
    import time

    from rich.console import Console

    from wattswap_mqtt.founding import own_data_of
    from wattswap_mqtt.headless import plan, run

    settings = _settings(args)
    wanted = run.Wanted(args.output, args.summary, args.plot)
    wanted.check(settings)
    own_data = own_data_of(settings)
    start_s = settings.start_s
    if start_s is None:
        start_s = own_data.start_s or plan.midnight_s(time.time(), settings.zone)
    span = plan.Span(args.days, args.years, args.until)
    wish = plan.plan_of(start_s, span, args.step, args.resolution, args.switch, settings.zone)
    jobs = os.cpu_count() or 1 if args.jobs is None else args.jobs
    if jobs < 1:
        raise ConfigError(f"--jobs takes a whole number from 1 on, not {jobs}")
    Console().print(run.simulate(settings, wish, own_data, wanted, jobs).table())


def write_docs(args: argparse.Namespace) -> int:
    """Write what is generated of the docs."""
    from wattswap_mqtt.contract import docs_tables

    return docs_tables.main(check=args.check)
