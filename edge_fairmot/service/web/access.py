"""Who may see the page, and what a browser may be made to do with it."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_fairmot.service.web.config import is_loopback

OPEN_PATHS = frozenset({"/healthz", "/page.css", "/icon.svg"})
"""Tell nothing about the picture; probes and the page that asks for the token need them."""

HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})

YEAR_S = 365 * 24 * 3600

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Stands before the application: what it refuses never gets there, and every answer has its headers.

    Without a token, requests must name this device by a loopback address or ``localhost``: a page of somebody
    else's, whose name was made to mean 127.0.0.1, does not. With one, they must bring it: in the header
    ``Authorization: Bearer``, or in the cookie that a first visit with ``?token=`` gives. A request that
    changes something, and every WebSocket, must come from the page itself if it comes from a browser.

    Parameters
    ----------
    app : ASGI application
    token : str or None
    enter_page : bytes
        HTML for those who come to the page without the token.
    cookie : str
        Name of the cookie; another for each page on one host.
    """

    def __init__(self, app: ASGIApp, token: str | None, enter_page: bytes, cookie: str) -> None:
        self._app = app
        self._token = token
        self._enter_page = enter_page
        self._cookie = cookie
        # The cookie proves the token without holding it.
        self._proof = hashlib.sha256(f"cookie:{token}".encode()).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in the application's place, or let it answer."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        asked = HTTPConnection(scope)
        answer = self._answer(asked) or self._app
        has_body = "content-length" in asked.headers or "transfer-encoding" in asked.headers

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if has_body:  # or the server would go on reading what nobody asked for
                    headers["Connection"] = "close"
                message["headers"] = headers.raw
            await send(message)

        await answer(scope, receive, send_with_headers)

    def _answer(self, asked: HTTPConnection) -> Response | None:
        method = asked.scope.get("method", "WEBSOCKET")
        if asked.scope["path"] in OPEN_PATHS and method in HARMLESS:
            return None
        refusal = self._refuse_by_name(asked) if self._token is None else self._ask_for_token(asked, method)
        if refusal is None and method not in HARMLESS and not _comes_from_here(asked):
            return _refuse(403, "that came from another site's page")
        return refusal

    def _refuse_by_name(self, asked: HTTPConnection) -> Response | None:
        if _names_this_device(asked.headers.get("host", "")):
            return None
        return _refuse(403, "ask for the page as http://localhost, or give it a token file")

    def _ask_for_token(self, asked: HTTPConnection, method: str) -> Response | None:
        at_the_door = asked.scope["path"] == "/" and method == "GET"
        if at_the_door and "token" in asked.query_params:
            return self._enter(asked.query_params["token"])
        if self._knows_token(asked):
            return None
        if at_the_door:
            return HTMLResponse(self._enter_page, 401)
        return _refuse(401, "the page's token is needed: Authorization: Bearer TOKEN")

    def _enter(self, token: str) -> Response:
        if not _same(token, self._token or ""):
            return HTMLResponse(self._enter_page, 401)
        answer = RedirectResponse("/", 303)  # and the token is gone from the address
        answer.set_cookie(self._cookie, self._proof, YEAR_S, httponly=True, samesite="lax")
        return answer

    def _knows_token(self, asked: HTTPConnection) -> bool:
        scheme, _, token = asked.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return _same(token.strip(), self._token or "")
        return _same(asked.cookies.get(self._cookie, ""), self._proof)


def _same(given: str, secret: str) -> bool:
    """Compare in a time that tells nothing of how much is right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def _names_this_device(host: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _comes_from_here(asked: HTTPConnection) -> bool:
    """Whether the page that asks, if it is one that asks, is ours: browsers say so, other programs do not."""
    origin = asked.headers.get("origin")
    if origin is None:
        return asked.headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    scheme, separator, place = origin.partition("://")
    ours = asked.headers.get("host", "")
    return bool(separator) and scheme in ("http", "https") and place.lower() == ours.lower() != ""


def _refuse(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status)
