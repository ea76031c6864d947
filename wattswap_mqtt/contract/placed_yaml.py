"""YAML with places: its values, and at which line and column each of them stands.

Only what JSON can say is read, the way YAML 1.2 reads it: `off`, `no` and `23:00` are text.  No anchors, no tags.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

Place = tuple[str | int, ...]
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one made in C where there is one: ten times as fast."""

_INTEGER = re.compile(r"[+-]?(0|[1-9]\d{0,17})", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
KINDS = frozenset({"str", "int", "float", "bool", "null", "timestamp", "merge", "value", "seq", "map"})
"""What YAML takes something for that has no tag."""
DEEPEST = 20


class PlacedError(Exception):
    """What is wrong with a text, and where: line and column from 1."""

    def __init__(self, line: int, column: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line
        self.column = column


@dataclass(frozen=True)
class Placed:
    """The value of a YAML text, and line and column of what it holds."""

    value: object
    marks: Mapping[Place, tuple[int, int]]

    def where(self, place: Place) -> tuple[int, int]:
        """Return line and column, from 1, of what stands at a place; of what holds it, if nothing does."""
        while place not in self.marks:
            place = place[:-1]
        return self.marks[place]


def read_yaml(text: str) -> Placed:
    """Read a YAML text.

    Raises:
        PlacedError: it is no YAML, or more than JSON can say.

    """
    try:
        _look_how_deep(text)
        node = yaml.compose(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        line, column = (error.problem_mark.line, error.problem_mark.column) if error.problem_mark else (0, 0)
        problem = error.problem or error.context
        if [at[column : column + 1] for at in text.split("\n")[line : line + 1]] == ["\t"]:  # no line, at the end
            problem = "found a tab: it is indented with spaces"
        raise PlacedError(line + 1, column + 1, f"this is not YAML: {problem}") from None
    except yaml.reader.ReaderError as error:
        before = text.encode()[: error.position]
        line, column = before.count(b"\n"), len(before) - before.rfind(b"\n") - 1
        raise PlacedError(line + 1, column + 1, f"this is not YAML: {error.reason}") from None
    if node is None:
        raise PlacedError(1, 1, "there is nothing in it")
    reading = _Reading()
    return Placed(reading.value(node, ()), reading.marks)


def _look_how_deep(text: str) -> None:
    """Refuse what is nested too deep before anything recurses over it: the loader made in C would crash."""
    depth = 0
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST and (mark := event.start_mark) is not None:
                raise PlacedError(mark.line + 1, mark.column + 1, "this is nested too deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Reading:
    def __init__(self) -> None:
        self.marks: dict[Place, tuple[int, int]] = {}
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, place: Place) -> object:
        self.marks.setdefault(place, (node.start_mark.line + 1, node.start_mark.column + 1))
        if id(node) in self._seen:
            raise _error(node.start_mark, "an alias (*) is not read: write it out")
        self._seen.add(id(node))
        if node.tag.removeprefix("tag:yaml.org,2002:") not in KINDS:
            raise _error(node.start_mark, f"tags such as {node.tag} are not read")
        match node:
            case yaml.ScalarNode(style="" | None):
                return _plain(node.value)
            case yaml.ScalarNode():
                return node.value
            case yaml.SequenceNode():
                return [self.value(item, (*place, number)) for number, item in enumerate(node.value)]
            case _:
                return self._mapping(node, place)

    def _mapping(self, node: yaml.Node, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _error(key.start_mark, "a key takes a text")
            name = key.value
            if name in found:
                raise _error(key.start_mark, f"{name} is here for the second time")
            self.marks[*place, name] = (key.start_mark.line + 1, key.start_mark.column + 1)
            found[name] = self.value(value, (*place, name))
        return found


def _plain(text: str) -> object:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def _error(mark: yaml.Mark, problem: str) -> PlacedError:
    return PlacedError(mark.line + 1, mark.column + 1, problem)
