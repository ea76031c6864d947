"""The command line: `wattswap COMMAND [settings]`.  The settings' flags are walked from `config.Settings`."""

import argparse
import difflib
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NoReturn

from wattswap_mqtt import __version__, commands
from wattswap_mqtt.app import ALL_ROLES
from wattswap_mqtt.commands import Command
from wattswap_mqtt.config import Settings, flag_of
from wattswap_mqtt.core.errors import ConfigError, WattSwapError

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
    top = parser.add_subparsers(title="commands", metavar="COMMAND [settings]")

    def add(
        name: str,
        run: Command,
        summary: str,
        *,
        settings: bool = True,
        to: "argparse._SubParsersAction[Parser]" = top,
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

    add("up", commands.roles(*ALL_ROLES), "everything in one process: broker, simulator and bridge")
    add("broker", commands.roles("broker"), "the embedded MQTT broker alone")
    add("simulator", commands.roles("simulator"), "the virtual meters alone: the device side of MQTT")
    add("bridge", commands.roles("bridge"), "REST, live stream, dashboard and history alone")

    summary = "homes over days to years without MQTT, as fast as the machine goes"
    _add_simulate(add("simulate", commands.simulate, summary, settings=False))

    watch = add("watch", commands.watch_meters, "a live table of meters in the terminal")
    watch.add_argument("--meter", action="append", metavar="ID", help="only this meter (may be repeated)")

    scenario = top.add_parser("scenario", help="scenarios: list, show, run, check; also your own, from files")
    actions = scenario.add_subparsers(title="actions", metavar="ACTION", required=True)
    add("list", commands.list_scenarios, "list the scenarios", to=actions)
    show = add(
        "show", commands.show_scenario, "show a scenario: what it sets, what happens, what is expected", to=actions
    )
    show.add_argument("name", help="a scenario's name or number, or a file")
    run = add(
        "run",
        commands.run_scenario,
        "play a scenario and compare what the meter tells with what is expected",
        to=actions,
    )
    run.add_argument("name", help="a scenario's name or number, a file (mine.yaml), or `all`")
    run.add_argument("--meter", metavar="ID", help="with --broker mqtt://…: the meter to set [the community's first]")
    run.add_argument("--accelerate", type=float, metavar="X", help="play it so many times as fast [as fast as it goes]")
    run.add_argument("--expect-only", action="store_true", help="send no commands, judge only: for real meters")
    run.add_argument("--junit", type=Path, metavar="FILE", help="write what was found as JUnit's XML as well")
    run.add_argument("--json", action="store_true", help="print what was found as JSON")
    check = add(
        "check", commands.check_scenarios, "check files of scenarios, and do nothing else", settings=False, to=actions
    )
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="the files")
    add(
        "schema",
        commands.print_scenario_schema,
        "print the JSON schema of a scenario, for editors",
        settings=False,
        to=actions,
    )

    _add_homeassistant(top, add)

    docs = add("docs", commands.write_docs, "write the tables in the docs and the AsyncAPI file anew", settings=False)
    docs.add_argument("--check", action="store_true", help="change nothing; exit code 1 if something is out of date")
    return parser


def _add_homeassistant(top: "argparse._SubParsersAction[Parser]", add: "Callable[..., Parser]") -> None:
    group = top.add_parser("homeassistant", help="Home Assistant: fill its Energy dashboard, announce meters")
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    energy = add(
        "energy",
        commands.fill_energy_dashboard,
        "fill Home Assistant's Energy dashboard with a meter",
        settings=False,
        to=actions,
    )
    energy.add_argument(
        "--url", required=True, help="address of Home Assistant, such as http://homeassistant.local:8123"
    )
    energy.add_argument("--token", help="a long-lived access token of Home Assistant [HASS_TOKEN]")
    energy.add_argument("--meter", action="append", metavar="ID", help="the meter [demo_meter]; may be repeated")
    announce = add(
        "announce", commands.announce_meters, "announce meters to Home Assistant, beyond the first ones", to=actions
    )
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
