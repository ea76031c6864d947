"""The bridge: REST, live stream and history of the meters, which it knows only through MQTT."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from wattswap_mqtt import __version__
from wattswap_mqtt.config import Settings
from wattswap_mqtt.contract.asyncapi import asyncapi_document
from wattswap_mqtt.roles.bridge import control, fleet, market, meters, pages, system
from wattswap_mqtt.roles.bridge.bodies import BodyLimit
from wattswap_mqtt.roles.bridge.bridge import Bridge
from wattswap_mqtt.roles.bridge.documents import DESCRIPTION, openapi_of
from wattswap_mqtt.roles.bridge.head import HeadLikeGet
from wattswap_mqtt.roles.bridge.metrics import MEDIA_TYPE, metrics_of
from wattswap_mqtt.roles.bridge.problems import handle_problems
from wattswap_mqtt.roles.bridge.serving import bridge_of, json_response
from wattswap_mqtt.roles.bridge.shortcut import SnapshotShortcut

PREFIX = "/api/v1"

_documents = APIRouter(include_in_schema=False)


def create_app(settings: Settings) -> FastAPI:
    """Return the ASGI application; its lifespan opens the history and connects to the broker.

    `app.state.bridge` is the `Bridge` behind it: `bridge.live.close()` ends the open streams, which a server that wants
    to end would otherwise wait for.
    """
    app = FastAPIOffline(
        title="WattSwap MQTT",
        summary="REST face of virtual prosumer meters on MQTT",
        description=DESCRIPTION,
        version=__version__,
        license_info={"name": "MIT"},
        lifespan=_lifespan,
        redirect_slashes=False,
        redoc_url=None,
        static_url="/static/docs",
    )
    app.state.bridge = bridge = Bridge(settings)
    app.state.fleet = fleet.Fleet(bridge.latest)
    app.add_middleware(BodyLimit)
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "POST"], allow_headers=["*"])
    app.add_middleware(SnapshotShortcut, latest=bridge.latest, prefix=PREFIX)
    app.add_middleware(HeadLikeGet)
    handle_problems(app)
    app.router.routes += BUSY
    for part in (meters, fleet, control, market, system):
        app.include_router(part.router, prefix=PREFIX)
    app.include_router(_documents)
    app.router.routes += pages.ROUTES
    app.openapi = lambda: openapi_of(app)  # type: ignore[method-assign] # the way FastAPI documents
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with app.state.bridge:
        yield


BUSY = (
    Route(f"{PREFIX}/control/switch", control.set_switch, methods=["POST"]),
    Route(f"{PREFIX}/market/order", market.place_order, methods=["POST"]),
)
"""Found first, and past FastAPI, which takes longer to find and call an endpoint than these take to answer."""


@_documents.get("/asyncapi.json")
async def asyncapi(request: Request) -> Response:
    """Return what goes over MQTT, as an AsyncAPI document."""
    bridge = bridge_of(request)
    return json_response(asyncapi_document(bridge.topics, str(bridge.settings.broker_address)))


@_documents.get("/metrics")
async def metrics(request: Request) -> Response:
    """Return the metrics for Prometheus."""
    bridge = bridge_of(request)
    return Response(metrics_of(bridge), media_type=MEDIA_TYPE)
