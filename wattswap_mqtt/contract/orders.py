"""The one form of an order for MQTT and REST, and clear sentences for what is wrong with one."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from wattswap_mqtt.contract.topics import METER_ID
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.market.orders import OrderTerms
from wattswap_mqtt.core.market.pricing import to_millionths
from wattswap_mqtt.core.plant import DEMO_METER
from wattswap_mqtt.core.reading import shown

LONGEST_S = 31 * 86_400

_COMBINED = ("sell_market", "buy_market", "sell_limit", "buy_limit")


class OrderRequest(BaseModel):
    """An order for energy, delivered over a window that starts when it is matched."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [
                {"meter_id": "demo_meter", "side": "sell", "type": "market", "quantity_kwh": 1.5, "duration_sec": 900},
                {
                    "side": "buy",
                    "type": "limit",
                    "quantity_kwh": 2,
                    "duration_sec": 3600,
                    "price": 0.25,
                    "ttl_sec": 600,
                },
            ],
        },
    )

    meter_id: Annotated[str, Field(title="Meter", description="whose order it is", pattern=f"^{METER_ID.pattern}$")] = (
        DEMO_METER
    )
    side: Annotated[
        Literal["sell", "buy"],
        Field(title="Side", description="sell or buy; may be left out when `type` says it: `sell_market`"),
    ]
    type: Annotated[
        Literal["market", "limit"],
        Field(
            title="Type",
            description="market takes the best price there is; limit waits for `price` or better",
            json_schema_extra={"enum": ["market", "limit", *_COMBINED]},
        ),
    ]
    quantity_kwh: Annotated[
        float,
        Field(title="Quantity", description="energy to trade", ge=0.001, le=1e6, json_schema_extra={"x-unit": "kWh"}),
    ]
    duration_sec: Annotated[
        float,
        Field(
            title="Delivery window",
            description="simulated time over which the energy is delivered: the power asked is quantity / duration",
            ge=1,
            le=LONGEST_S,
            json_schema_extra={"x-unit": "s"},
        ),
    ]
    price: Annotated[
        float | None,
        Field(
            title="Limit price",
            description="the worst price accepted; needed for a limit order, refused for a market order",
            ge=-1000,
            le=1000,
            json_schema_extra={"x-unit": "apt/kWh"},
        ),
    ] = None
    min_fill_kwh: Annotated[
        float,
        Field(
            title="Minimum fill",
            description="the least that has to be matched at entry; if left out, never more than the quantity",
            ge=0,
            le=1e6,
            json_schema_extra={"x-unit": "kWh"},
        ),
    ] = 0.1
    ttl_sec: Annotated[
        float,
        Field(
            title="Good for",
            description="simulated time that an unmatched rest waits; GTC ignores it",
            ge=1,
            le=LONGEST_S,
            json_schema_extra={"x-unit": "s"},
        ),
    ] = 600.0
    time_in_force: Annotated[
        Literal["GTD", "GTC", "IOC", "FOK"],
        Field(
            title="Time in force",
            description="an unmatched rest waits ttl_sec (GTD) or until cancelled (GTC), or is dropped at once (IOC); "
            "FOK is matched whole at once or not at all",
        ),
    ] = "GTD"
    client_order_id: Annotated[
        str | None,
        Field(
            title="Client's order id",
            description="makes the order idempotent: the same id and content again returns the same order",
            min_length=1,
            max_length=64,
        ),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _read_words(cls, raw: Any) -> Any:  # noqa: ANN401 (whatever came in)
        """Take null for not given, and a word such as `sell_market` for side and type."""
        if not isinstance(raw, dict):
            return raw
        fields = {name: value for name, value in raw.items() if value is not None}
        said: dict[str, list[str]] = {"side": [], "type": []}
        for name in said:
            if not isinstance(word := fields.get(name), str):
                continue  # the field's own check has something to say about it
            word = fields.pop(name).strip().lower()
            said_by_word = dict(zip(said, word.split("_"), strict=True)) if word in _COMBINED else {name: word}
            for part, value in said_by_word.items():
                said[part].append(value)
        for name, words in said.items():
            if len(set(words)) > 1:
                first, second = map(shown, words)
                raise PydanticCustomError(
                    "side_mismatch",
                    "side and type have to agree; they say {first} and {second}",
                    {"first": first, "second": second},
                )
            if words:
                fields.setdefault(name, words[0])
        if isinstance(force := fields.get("time_in_force"), str):
            fields["time_in_force"] = force.strip().upper()
        return fields

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.type == "limit" and self.price is None:
            raise PydanticCustomError("missing_field", "price is missing: a limit order needs one, in apt/kWh")
        if self.type == "market" and self.price is not None:
            raise PydanticCustomError(
                "price_not_allowed", "a market order takes no price: leave it out, or make it a limit order"
            )
        if "min_fill_kwh" in self.model_fields_set and self.min_fill_kwh > self.quantity_kwh:
            raise PydanticCustomError("out_of_range", "min_fill_kwh takes at most the quantity_kwh of the order")
        return self

    def to_terms(self) -> OrderTerms:
        """Return what the exchange reads: integers of milliwatt-hours and micro-tokens."""
        return OrderTerms(
            side=self.side,
            type=self.type,
            quantity_mwh=to_millionths(self.quantity_kwh),
            duration_s=self.duration_sec,
            price_utok_per_kwh=None if self.price is None else to_millionths(self.price),
            min_fill_mwh=to_millionths(min(self.min_fill_kwh, self.quantity_kwh)),
            ttl_s=self.ttl_sec,
            time_in_force=self.time_in_force,
            client_order_id=self.client_order_id,
        )


def read_order(fields: object) -> OrderRequest:
    """Read the fields of an order.

    Raises:
        CommandError: `missing_field`, `unknown_field`, `wrong_type`, `out_of_range`, `side_mismatch` or
            `price_not_allowed`.

    """
    try:
        return OrderRequest.model_validate(fields)
    except ValidationError as error:
        raise refusal(error.errors(include_url=False)) from None


def refusal(errors: Sequence[Mapping[str, Any]]) -> CommandError:
    """Return the first of pydantic's errors about an order as one clear sentence; FastAPI's are of the same form."""
    error = errors[0]
    kind, name = error["type"], str(error["loc"][-1]) if error["loc"] else ""
    wanted = _wanted(name)
    if kind in ("side_mismatch", "missing_field", "price_not_allowed", "out_of_range"):
        return CommandError(kind, error["msg"])
    if kind == "missing":
        return CommandError("missing_field", f"{name} is missing: it takes {wanted}")
    if kind == "extra_forbidden":
        known = ", ".join(OrderRequest.model_fields)
        return CommandError("unknown_field", f"an order has no field {shown(name)}; it has {known}")
    given = error["input"]
    if wanted is None:
        return CommandError("wrong_type", f"an order is a JSON object, not {shown(given)}")
    wrong_type = kind.endswith(("_type", "_unicode")) or (kind == "literal_error" and not isinstance(given, str))
    return CommandError("wrong_type" if wrong_type else "out_of_range", f"{name} takes {wanted}, not {shown(given)}")


@cache
def _wanted(name: str) -> str | None:
    """Say what a field takes, from its schema; None if there is no such field."""
    schema = OrderRequest.model_json_schema()["properties"].get(name)
    if schema is None:
        return None
    value = next(iter(schema.get("anyOf", [schema])))  # of a nullable field: what it is when not null
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    if value["type"] == "number":
        return f"a number from {value['minimum']:.10g} to {value['maximum']:.10g} {schema['x-unit']}"
    if "pattern" in value:
        return "1 to 64 letters, digits, _ or -"
    return f"text of {value['minLength']} to {value['maxLength']} characters"
