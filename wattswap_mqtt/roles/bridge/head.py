"""HEAD, which every path that takes GET has to take too.

Source: RFC 9110, 9.3.2
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadLikeGet:
    """ASGI middleware: answers HEAD as GET would be answered, without the body, whose end it does not wait for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                answering.cancel()

        answering = asyncio.ensure_future(self._app({**scope, "method": "GET"}, receive, send_head))
        await asyncio.wait({answering})
        if not answering.cancelled():
            answering.result()  # which may be an error
