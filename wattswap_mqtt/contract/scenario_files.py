"""Scenarios as files: those of the package, and a user's own beside them.

What is wrong with a file is one line: file, line, column, and what would be right.  The package's own are read when the
first of them is needed, so that a start does not wait for it; their names are those of their files.
"""

from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path

from wattswap_mqtt.core.errors import ConfigError
from wattswap_mqtt.core.scenarios import Scenario

FOLDER = Path(__file__).parents[1] / "scenarios"
SUFFIXES = (".yaml", ".yml", ".json")
MOST_BYTES = 64 * 1024
"""As much as a command may hold: what is in a file can be sent."""


def read_file(path: Path) -> Scenario:
    """Read one file.

    Raises:
        ConfigError: what is wrong with it, and where.

    """
    return document_and_scenario(path)[1]


def document_and_scenario(path: Path) -> tuple[object, Scenario]:
    """Read one file; return also the document in it, as it can be sent.

    Raises:
        ConfigError: what is wrong with it, and where.

    """
    from wattswap_mqtt.contract.placed_yaml import PlacedError, read_yaml
    from wattswap_mqtt.contract.scenario_documents import read_scenario
    from wattswap_mqtt.contract.scenario_fields import ScenarioError

    try:
        placed = read_yaml(_text_of(path))
    except PlacedError as error:
        raise ConfigError(f"{path}:{error.line}:{error.column}: {error}") from None
    try:
        return placed.value, read_scenario(placed.value)
    except ScenarioError as error:
        line, column = placed.where(error.place)
        raise ConfigError(f"{path}:{line}:{column}: {error.message}") from None


def read_document(document: object) -> Scenario:
    """Read a scenario that somebody sent.

    Raises:
        CommandError: what is wrong with it, and where.

    """
    from wattswap_mqtt.contract.scenario_documents import read_scenario

    return read_scenario(document)


def read_folder(folder: Path) -> dict[str, Scenario]:
    """Read every scenario in a folder, in order of file names; by slug.

    Raises:
        ConfigError: one of them is wrong, two have the same name, or there is no such folder.

    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    except OSError as error:
        raise ConfigError(f"--scenarios {folder}: {error.strerror}") from None
    found: dict[str, Scenario] = {}
    for path in paths:
        scenario = read_file(path)
        taken = {other.slug for other in found.values()} | {str(other.number) for other in found.values()}
        if taken & {scenario.slug, str(scenario.number)} - {"None"}:
            raise ConfigError(f"{path}:1:1: there is another scenario {scenario.slug} or number {scenario.number}")
        found[scenario.slug] = scenario
    return found


def builtin_names() -> tuple[str, ...]:
    """Return the names of the package's own scenarios, in their order."""
    return tuple(path.stem.partition("-")[2] for path in sorted(FOLDER.glob("*.yaml")))


@cache
def builtin_scenarios() -> Mapping[str, Scenario]:
    """Return the package's own scenarios by slug."""
    return read_folder(FOLDER)


class Catalogue:
    """The package's scenarios and those of a folder, which win where names are the same.

    Raises:
        ConfigError: there is no such folder, or a file in it is wrong.

    """

    def __init__(self, folder: Path | None = None) -> None:
        self._own = {} if folder is None else read_folder(folder)

    @cached_property
    def scenarios(self) -> Mapping[str, Scenario]:
        """All of them, by slug."""
        return {**builtin_scenarios(), **self._own}

    @property
    def names(self) -> tuple[str, ...]:
        """All names there are, without reading more than a start has to."""
        return tuple(dict.fromkeys((*builtin_names(), *self._own)))


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{path}: a scenario takes at most {MOST_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise ConfigError(f"{path}:{line}:{column}: this is not UTF-8 text") from None
