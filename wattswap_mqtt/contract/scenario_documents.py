"""Documents (from YAML or JSON) as scenarios: what is refused says in one clear sentence what is wrong, and where."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from wattswap_mqtt.contract import orders
from wattswap_mqtt.contract.orders import OrderRequest
from wattswap_mqtt.contract.scenario_fields import Place, ScenarioError, nearest
from wattswap_mqtt.contract.scenario_model import (
    DocumentedModel,
    EventModel,
    ExpectationModel,
    ScenarioModel,
    StartModel,
)
from wattswap_mqtt.core.reading import shown
from wattswap_mqtt.core.scenarios import Scenario


def read_scenario(document: object) -> Scenario:
    """Read a document.

    Raises:
        ScenarioError: what is wrong first, and where.

    """
    try:
        return ScenarioModel.model_validate(document).scenario()
    except ValidationError as error:
        raise _first(error.errors(include_url=False)) from None


@cache
def scenario_schema() -> Mapping[str, Any]:
    """Return the JSON schema of a scenario."""
    return ScenarioModel.model_json_schema(by_alias=True)


_MODELS: Mapping[str, type[BaseModel]] = {
    "": ScenarioModel, "documented": DocumentedModel, "start": StartModel, "events": EventModel,
    "expect": ExpectationModel, "order": OrderRequest,
}  # fmt: skip


def _first(errors: Sequence[Mapping[str, Any]]) -> ScenarioError:
    """Return the first of pydantic's errors as one clear sentence with its place."""
    error = min(errors, key=lambda error: error["type"] != "extra_forbidden")  # a slip of the pen explains the rest
    place: Place = error["loc"]
    if place and place[0] == "expect" and "is" in place:  # pydantic adds the member of a union it tried
        place = place[:3]
    kind, given = error["type"], error.get("input")
    if "problem" in error.get("ctx", {}):
        return ScenarioError(kind, (*place, *error["ctx"]["below"]), error["ctx"]["problem"])
    if "order" in place:
        refusal = orders.refusal([{**error, "loc": place[3:]}])
        return ScenarioError(refusal.code, place, refusal.message)
    model = _MODELS[next((str(p) for p in reversed(place[:-1]) if p in _MODELS), "")]
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    if kind == "extra_forbidden":
        return ScenarioError("unknown_field", place, f"is no key here{nearest(place[-1], fields)}")
    if kind == "missing":
        meaning = fields[str(place[-1])].description
        return ScenarioError("missing_field", place[:-1], f"{place[-1]} is missing{f' ({meaning})' if meaning else ''}")
    wanted, out_of_range = _wanted(kind, error.get("ctx", {}))
    return ScenarioError("out_of_range" if out_of_range else "wrong_type", place, f"takes {wanted}, not {shown(given)}")


def _wanted(kind: str, limits: Mapping[str, Any]) -> tuple[str, bool]:
    """Say what would be right, and whether the type is and the value is not."""
    types = {"string": "a text", "float": "a number", "int": "a whole number", "bool": "true or false"}
    types |= {"dict": "keys and values", "model": "keys and values", "list": "a list"}
    if "ge" in limits or "le" in limits:
        sign = "at least" if "ge" in limits else "at most"
        return f"a number of {sign} {limits.get('ge', limits.get('le')):g}", True
    if kind.startswith("too_long"):
        return f"at most {limits['max_length']} items", True
    sentences = {
        "string_pattern_mismatch": "1 to 64 small letters, digits, - or _",
        "string_too_long": f"a text of at most {limits.get('max_length')} characters",
        "string_too_short": "a text that is not empty",
        "literal_error": f"one of {limits.get('expected')}",
        "finite_number": "a finite number",
    }
    return sentences.get(kind) or types.get(kind.partition("_")[0], "something else"), kind in sentences
