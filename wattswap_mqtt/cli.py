"""The command line: `wattswap COMMAND [settings]`.  The settings' flags are walked from `config.Settings`."""

import argparse
import difflib
import logging
import os
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NoReturn

from wattswap_mqtt import __version__
from wattswap_mqtt.app import ALL_ROLES, Role, serve, set_up_logging
from wattswap_mqtt.config import Settings, flag_of, load_settings
from wattswap_mqtt.core.errors import ConfigError, WattSwapError

Command = Callable[[argparse.Namespace], int | None]

SIMULATED = (
    "meters", "community", "seed", "start", "latitude", "longitude", "tz", "load_noise", "load_csv", "pv_csv", "bots",
    "import_price", "feed_in_price", "price_csv", "price_floor", "price_cap", "max_open_orders", "auto_buy_price",
    "log_level",
)  # fmt: skip
"""The settings that homes without MQTT depend on; the help of `simulate` leaves out the others."""


class Parser(argparse.ArgumentParser):
    """argparse, but what is wrong is said in one line, with the nearest flag that exists."""

    def error(self, message: str) -> NoReturn:
        """Say it and end with exit code 2."""
        if message.startswith("unrecognized"):
            flags = [flag_of(name) for name in Settings.model_fields]
            near = [
                flag
                for word in message.split()
                for flag in difflib.get_close_matches(word.partition("=")[0], flags, n=1)
            ]
            message += f" (did you mean {', '.join(near)}?)" * bool(near)
        self.exit(2, f"{self.prog}: {message}; {self.prog} --help shows what there is\n")


class Help(argparse.RawDescriptionHelpFormatter):
    """A little wider than argparse's own."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=110)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 well, 1 a failure at run time, 2 wrong usage or configuration."""
    try:
        parser = _parser()
        args = parser.parse_args(arguments)
        if "run" not in args:
            parser.print_help()
            sys.exit(0)
        command: Command = args.run
        sys.exit(command(args))
    except ConfigError as error:
        print(f"wattswap: {error}", file=sys.stderr)
        sys.exit(2)
    except WattSwapError as error:
        print(f"wattswap: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("wattswap: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `wattswap scenario list | head`
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:  # what is printed cannot be written; of files it is said with their names
        print(f"wattswap: {error}", file=sys.stderr)
        sys.exit(1)


def _parser() -> Parser:
    parser = Parser(prog="wattswap", description="A virtual prosumer smart meter on MQTT.", formatter_class=Help)
    parser.add_argument("--version", action="version", version=f"wattswap {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND [settings]")

    def add(
        name: str,
        run: Command,
        summary: str,
        *,
        settings: bool = True,
        to: "argparse._SubParsersAction[Parser]" = commands,
    ) -> Parser:
        command = to.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=Help,
            allow_abbrev=False,
        )
        command.set_defaults(run=run)
        if settings:
            _add_settings(command)
        return command

    add("up", _roles(*ALL_ROLES), "everything in one process: broker, simulator and bridge")
    add("broker", _roles("broker"), "the embedded MQTT broker alone")
    add("simulator", _roles("simulator"), "the virtual meters alone: the device side of MQTT")
    add("bridge", _roles("bridge"), "REST, live stream, dashboard and history alone")

    summary = "homes over days to years without MQTT, as fast as the machine goes"
    _add_simulate(add("simulate", _simulate, summary, settings=False))

    watch = add("watch", _watch, "a live table of meters in the terminal")
    watch.add_argument("--meter", action="append", metavar="ID", help="only this meter (may be repeated)")

    scenario = commands.add_parser("scenario", help="scenarios: list, show, run, check; also your own, from files")
    actions = scenario.add_subparsers(title="actions", metavar="ACTION", required=True)
    add("list", _scenario_list, "list the scenarios", to=actions)
    show = add("show", _scenario_show, "show a scenario: what it sets, what happens, what is expected", to=actions)
    show.add_argument("name", help="a scenario's name or number, or a file")
    run = add(
        "run", _scenario_run, "play a scenario and compare what the meter tells with what is expected", to=actions
    )
    run.add_argument("name", help="a scenario's name or number, a file (mine.yaml), or `all`")
    run.add_argument("--meter", metavar="ID", help="with --broker mqtt://…: the meter to set [the community's first]")
    run.add_argument("--accelerate", type=float, metavar="X", help="play it so many times as fast [as fast as it goes]")
    run.add_argument("--expect-only", action="store_true", help="send no commands, judge only: for real meters")
    run.add_argument("--junit", type=Path, metavar="FILE", help="write what was found as JUnit's XML as well")
    run.add_argument("--json", action="store_true", help="print what was found as JSON")
    check = add("check", _scenario_check, "check files of scenarios, and do nothing else", settings=False, to=actions)
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="the files")
    add("schema", _scenario_schema, "print the JSON schema of a scenario, for editors", settings=False, to=actions)

    _add_homeassistant(commands, add)

    docs = add("docs", _docs, "write the tables in the docs and the AsyncAPI file anew", settings=False)
    docs.add_argument("--check", action="store_true", help="change nothing; exit code 1 if something is out of date")
    return parser


def _add_homeassistant(commands: "argparse._SubParsersAction[Parser]", add: "Callable[..., Parser]") -> None:
    group = commands.add_parser("homeassistant", help="Home Assistant: fill its Energy dashboard, announce meters")
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    energy = add("energy", _energy, "fill Home Assistant's Energy dashboard with a meter", settings=False, to=actions)
    energy.add_argument(
        "--url", required=True, help="address of Home Assistant, such as http://homeassistant.local:8123"
    )
    energy.add_argument("--token", help="a long-lived access token of Home Assistant [HASS_TOKEN]")
    energy.add_argument("--meter", action="append", metavar="ID", help="the meter [demo_meter]; may be repeated")
    announce = add("announce", _announce, "announce meters to Home Assistant, beyond the first ones", to=actions)
    announce.add_argument("meters_to_announce", nargs="+", metavar="ID", help="a meter's id")
    announce.add_argument("--off", action="store_true", help="take them back instead")


def _add_simulate(parser: Parser) -> None:
    parser.usage = "wattswap simulate [--days N | --years N | --until ISO] [--output FILE] …"
    parser.description = f"{parser.description} Prints what it all adds up to."
    parser.epilog = (
        "examples:\n"
        "  wattswap simulate --meters 20 --days 7\n"
        "  wattswap simulate --meters 1000 --years 1 --start 2026-01-01 --output year.parquet --plot year.svg\n"
        "  wattswap simulate --meters 1 --load-csv load.csv --price-csv prices.csv --years 1 --summary summary.json\n"
        "\ndocs/simulate.md tells of columns, units, speed and how to read the files."
    )
    group = parser.add_argument_group("the run")
    group.add_argument("--days", type=float, metavar="N", help="how long, in days [1]")
    group.add_argument("--years", type=int, metavar="N", help="how long, in years of the calendar")
    group.add_argument("--until", metavar="ISO", help="when it ends; in --tz unless it says otherwise")
    group.add_argument("--step", metavar="TIME", default="1m", help="length of a step, from 1s to 1m [%(default)s]")
    group.add_argument(
        "--resolution",
        metavar="TIME",
        default="15m",
        help="a row for each home and so long: whole steps, up to 1h, or 1d [%(default)s]",
    )
    group.add_argument("--output", type=Path, metavar="FILE", help="write the rows: .csv or .parquet")
    group.add_argument("--summary", type=Path, metavar="FILE", help="write the summary, of each home too, as JSON")
    group.add_argument("--plot", type=Path, metavar="FILE", help="draw the run: .svg or .png")
    group.add_argument("--jobs", type=int, metavar="N", help="processes that share the homes [one a core]")
    group.add_argument(
        "--switch",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a switch of all homes, such as sun_mode=auto (may be repeated)",
    )
    _add_settings(parser, shown=SIMULATED)


def _add_settings(parser: Parser, shown: Collection[str] = tuple(Settings.model_fields)) -> None:
    group = parser.add_argument_group(
        "settings",
        "each is an environment variable (WATTSWAP_HTTP_PORT) and a key of the TOML file (http_port) as well",
    )
    group.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings [WATTSWAP_CONFIG]")
    for name, field in Settings.model_fields.items():
        text = field.description or ""
        if field.default is not None:
            text += f" (default: {field.default})"
        metavar = name.rpartition("_")[2].upper()
        words = text.replace("%", "%%") if name in shown else argparse.SUPPRESS
        group.add_argument(flag_of(name), metavar=metavar, default=argparse.SUPPRESS, help=words)


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


def _roles(*roles: Role) -> Command:
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


def _scenario_list(args: argparse.Namespace) -> None:
    from wattswap_mqtt import scenario_report
    from wattswap_mqtt.contract.scenario_files import Catalogue

    scenario_report.print_list(list(Catalogue(_settings(args).scenarios).scenarios.values()))


def _scenario_show(args: argparse.Namespace) -> None:
    from wattswap_mqtt import scenario_report, scenario_runner

    scenario_report.print_scenario(scenario_runner.named(args.name, _settings(args)))


def _scenario_run(args: argparse.Namespace) -> int:
    from wattswap_mqtt import scenario_runner

    options = scenario_runner.Options(args.meter, args.accelerate, args.expect_only, args.junit, args.json)
    return scenario_runner.run(_quietly(_settings(args)), args.name, options)


def _scenario_check(args: argparse.Namespace) -> int:
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


def _scenario_schema(_args: argparse.Namespace) -> None:
    import json

    from wattswap_mqtt.contract.scenario_model import scenario_schema

    print(json.dumps(scenario_schema(), indent=2, ensure_ascii=False))


def _watch(args: argparse.Namespace) -> None:
    from wattswap_mqtt import watch

    watch.watch(_quietly(_settings(args)), args.meter)


def _energy(args: argparse.Namespace) -> None:
    from wattswap_mqtt import energy_dashboard
    from wattswap_mqtt.core.plant import DEMO_METER

    token = args.token or os.environ.get("HASS_TOKEN")
    if not token:
        raise ConfigError("--token, or HASS_TOKEN in the environment, is needed: a long-lived access token")
    energy_dashboard.fill(args.url, token, args.meter or [DEMO_METER])


def _announce(args: argparse.Namespace) -> None:
    from wattswap_mqtt.remote_meter import RemoteMeter

    settings = _quietly(_settings(args))
    for meter_id in args.meters_to_announce:
        with RemoteMeter(settings, meter_id) as meter:
            meter.command("discovery/set", not args.off)
        print(f"{meter_id} is {'not announced any more' if args.off else 'announced'}")


def _simulate(args: argparse.Namespace) -> None:
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


def _docs(args: argparse.Namespace) -> int:
    from wattswap_mqtt.contract import docs_tables

    return docs_tables.main(check=args.check)
