"""The dashboard's files, under a policy: nothing is loaded from elsewhere, and no script stands in a page."""

from pathlib import Path

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from wattswap_mqtt.roles.bridge.serving import PACKING_LEVEL, WORTH_PACKING

DASHBOARD = Path(__file__).parent / "dashboard"
HEADERS = {
    "Cache-Control": "no-cache",  # a browser asks each time, and its ETag spares it the answer
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self';"
    " script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Files(StaticFiles):
    """The files below a directory, with our headers."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


_files = Files(directory=DASHBOARD)
_packed = GZipMiddleware(_files, minimum_size=WORTH_PACKING, compresslevel=PACKING_LEVEL)


async def page(request: Request) -> Response:
    """Return the page itself."""
    return await _files.get_response("index.html", request.scope)


ROUTES: tuple[BaseRoute, ...] = (
    Route("/", page, include_in_schema=False),
    Mount("/dashboard", _packed, name="dashboard"),
)
