"""As much of JSON Schema as the wire's schemas use."""

import re

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
ABOUT = {"title", "description", "format", "default", "examples"}
NESTING = {"properties", "required", "additionalProperties", "items", "anyOf", "oneOf"}
KNOWN = ABOUT | NESTING | {"type", "enum", "const", "minimum", "maximum", "minLength", "maxLength", "pattern"}


def problems(value, schema, where="$"):
    """Return what is wrong with `value`, one line each."""
    unknown = {key for key in schema if key not in KNOWN and not key.startswith("x-")}
    assert not unknown, f"this checker does not know {unknown}"
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
        found = [problems(value, alternative, where) for alternative in alternatives]
        if "oneOf" in schema and found.count([]) > 1:
            return [f"{where}: {value!r} fits more than one alternative"]
        return [] if [] in found else found[0]
    types = schema.get("type", list(TYPES))
    allowed = tuple(TYPES[name] for name in ([types] if isinstance(types, str) else types))
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        return [f"{where}: {value!r} is no {types}"]
    return [f"{where}: {value!r} breaks {rule}" for rule in broken(value, schema)] + inside(value, schema, where)


def broken(value, schema):
    rules = {
        "enum": lambda allowed: value in allowed,
        "const": lambda only: value == only,
        "minimum": lambda low: not isinstance(value, int | float) or value >= low,
        "maximum": lambda high: not isinstance(value, int | float) or value <= high,
        "pattern": lambda pattern: not isinstance(value, str) or re.search(pattern, value),
        "maxLength": lambda length: not isinstance(value, str) or len(value) <= length,
        "minLength": lambda length: not isinstance(value, str) or len(value) >= length,
    }
    return [f"{name} {schema[name]}" for name, holds in rules.items() if name in schema and not holds(schema[name])]


def inside(value, schema, where):
    found = []
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        found += [f"{where}: {name} is missing" for name in schema.get("required", []) if name not in value]
        for name, inner in value.items():
            if name in properties:
                found += problems(inner, properties[name], f"{where}.{name}")
            elif schema.get("additionalProperties") is False:
                found.append(f"{where}: {name} is not allowed")
    if isinstance(value, list) and "items" in schema:
        for at, inner in enumerate(value):
            found += problems(inner, schema["items"], f"{where}[{at}]")
    return found
