"""Reading what came from outside: plain numbers, and how an error message quotes a value."""

import math
import re

_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def number_of(raw: object) -> float | None:
    """Return `raw` as a float if it is a JSON number or plain decimal text (blanks around it allowed), else None.

    What is too large for a float becomes infinity, so that a range check refuses it.
    """
    match raw:
        case bool():
            return None
        case float():
            return raw
        case int():
            try:
                return float(raw)
            except OverflowError:
                return math.inf if raw > 0 else -math.inf
        case str() if _DECIMAL.fullmatch(raw.strip()):
            return float(raw)
        case _:
            return None


def shown(raw: object) -> str:
    """Return `raw` as an error message quotes it: short, on one line, whatever it is."""
    match raw:
        case dict():
            text = "an object"
        case list() | tuple():
            text = "a list"
        case None | bool():
            text = {None: "null", True: "true", False: "false"}[raw]
        case int() if abs(raw) >= 10**30:
            text = "a number beyond all measure"
        case str() if len(raw) > 60:
            text = repr(f"{raw[:60]}…")
        case _:
            text = repr(raw)
    return text
