"""What arrives over HTTP: bodies of bounded size, as JSON or as a form, read into plain fields."""

from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

import orjson
from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wattswap_mqtt.contract.messages import MAX_PAYLOAD
from wattswap_mqtt.core.reading import number_of, shown
from wattswap_mqtt.roles.bridge.problems import Problem, invalid, response_to

DRAINED = 16 * 2**20
"""So much of a body that is too large is read, for the client to be ready to read the answer."""
MAX_FIELDS = 100

Fields = dict[str, object]


class BodyLimit:
    """ASGI middleware: reads the body of a request before anything else does, and refuses one that is too large."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        body, size, more = bytearray(), 0, True
        while more and size <= DRAINED:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client has gone
            chunk = message.get("body", b"")
            size += len(chunk)
            if size <= MAX_PAYLOAD:
                body += chunk
            more = message.get("more_body", False)
        if size > MAX_PAYLOAD:
            await response_to(Problem(413, "too_large", f"a body takes at most {MAX_PAYLOAD} bytes"))(
                scope, receive, send
            )
            return
        await self._app(scope, _replayed({"type": "http.request", "body": bytes(body)}, receive), send)


def _replayed(message: Message, receive: Receive) -> Receive:
    pending = [message]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


async def fields_of(request: Request, numbers: Collection[str] = ()) -> Fields:
    """Return the fields of the body: of a JSON object, or of a form.

    A form has only text: the fields named by `numbers` are read as numbers, and are not given when they are empty.
    A body that begins with a brace is JSON whatever its content type says: that is what `curl -d '{…}'` sends.

    Raises:
        Problem: 422.

    """
    body = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _with_numbers(await _multipart(request), numbers)
    if kind == "application/x-www-form-urlencoded" and not body.lstrip().startswith((b"{", b"[")):
        return _with_numbers(_urlencoded(body), numbers)
    if not body.strip():
        return {}
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _unreadable(body, error) from None
    if not isinstance(found, dict):
        raise invalid("wrong_type", f"the body takes a JSON object, not {shown(found)}")
    return found


def text_in(fields: Mapping[str, object], name: str, default: str | None = None) -> str:
    """Return the field `name`, which has to be text.

    Raises:
        Problem: 422.

    """
    found = fields.get(name, default)
    if found is None and name not in fields:
        raise invalid("missing_field", f"{name} is missing")
    if not isinstance(found, str):
        raise invalid("wrong_type", f"{name} takes text, not {shown(found)}")
    return found


def refuse_unknown(fields: Mapping[str, object], *known: str) -> None:
    """Refuse a field that is not among `known`: a typing error must not pass in silence.

    Raises:
        Problem: 422.

    """
    for name in fields:
        if name not in known:
            raise invalid("unknown_field", f"there is no field {shown(name)} here; there is {', '.join(known)}")


def _unreadable(body: bytes, error: orjson.JSONDecodeError) -> Problem:
    """Return what MQTT would say about it."""
    try:
        body.decode()
    except UnicodeDecodeError as unknown:
        return invalid("not_utf8", f"the body is UTF-8 text; byte {unknown.start} is not")
    return invalid("invalid_json", f"this is not JSON: {error}")


def _with_numbers(form: Mapping[str, str], numbers: Collection[str]) -> Fields:
    given = {name: text for name, text in form.items() if text or name not in numbers}
    return {name: (_number(text) if name in numbers else text) for name, text in given.items()}


def _number(text: str) -> object:
    number = number_of(text)
    return text if number is None else number


def _urlencoded(body: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise invalid("invalid_form", f"the form cannot be read: {error}") from None


async def _multipart(request: Request) -> dict[str, str]:
    try:
        async with request.form(max_files=0, max_fields=MAX_FIELDS) as form:
            return {name: value for name, value in form.items() if isinstance(value, str)}
    except HTTPException as error:
        raise invalid("invalid_form", f"the form cannot be read: {error.detail}") from None
