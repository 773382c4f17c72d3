"""Access to the page: the token, its cookie, and protection against requests of other sites."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import os
import secrets
import socket
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_fairmot.errors import SinkError

MIN_TOKEN_LENGTH = 16
"""Minimum length of a token: a shorter one could be guessed over a network."""

PUBLIC_PATHS = frozenset({"/healthz", "/page.css", "/icon.svg"})
"""Health probes and the login page need them; they show nothing of the image."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

COOKIE_S = 365 * 24 * 3600

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "media-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def read_token(path: Path) -> str:
    """Return the token in a file. Without a file, makes both, readable for the owner only.

    SinkError if the file cannot be made or read, if other users can read it, or if it holds no token.
    """
    try:
        made = _make_token(path)
        if path.stat().st_uid not in (0, os.geteuid()):
            raise SinkError(
                f"{path}, the token file of the page, is another user's: choose another token_file"
            )
        if not made and path.stat().st_mode & 0o077:
            raise SinkError(
                f"{path} holds the token of the page and other users can read it: chmod 600 {path}"
            )
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SinkError(
            f"{path}, the token file of the page, cannot be used ({reason}): choose another token_file"
        ) from error
    if len(token) < MIN_TOKEN_LENGTH or not token.isprintable():
        raise SinkError(
            f"{path} holds no token of {MIN_TOKEN_LENGTH} characters or more: delete it to make a new one"
        )
    return token


def _make_token(path: Path) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(24) + "\n")
    return True


class Auth:
    """ASGI middleware that checks every request, and adds the security headers to every answer.

    With a token, a request needs it in ``Authorization: Bearer``, as the password of ``Authorization: Basic``
    (all that the cameras of Home Assistant send), or the cookie that ``/?token=`` sets.
    Without one (open access), the Host header must be an IP address or a name of this device: a name that
    another site made to point here (DNS rebinding) is refused. A WebSocket, and a request that changes
    something, must come from this page if it comes from a browser.
    """

    def __init__(self, app: ASGIApp, token: str | None, login_page: bytes, cookie: str) -> None:
        self._app, self._token = app, token
        self._login_page, self._cookie = login_page, cookie
        # The cookie proves knowledge of the token without containing it.
        self._proof = hashlib.sha256(f"cookie:{token}".encode()).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on to the application."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        answer = self._check(request) or self._app
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if has_body:  # otherwise the server goes on reading a body that it does not use
                    headers["Connection"] = "close"
                message["headers"] = headers.raw
            await send(message)

        await answer(scope, receive, send_with_headers)

    def _check(self, request: HTTPConnection) -> Response | None:
        """Return the answer that ends the request here; None if it may pass."""
        method = request.scope.get("method", "WEBSOCKET")
        if request.scope["path"] in PUBLIC_PATHS and method in SAFE_METHODS:
            return None
        refusal = self._check_token(request, method) if self._token is not None else _check_host(request)
        if refusal is None and method not in SAFE_METHODS and not _is_same_origin(request):
            return _refuse(403, "requests from the pages of other sites are refused")
        return refusal

    def _check_token(self, request: HTTPConnection, method: str) -> Response | None:
        path = request.scope["path"]
        if path == "/" and method == "GET" and "token" in request.query_params:
            return self._log_in(request.query_params["token"])
        if self._has_token(request):
            return None
        if path.endswith("/") and method == "GET":  # a page: that of a camera, too
            return HTMLResponse(self._login_page, 401)
        return _refuse(401, "the token of the page is needed: Authorization: Bearer TOKEN")

    def _log_in(self, token: str) -> Response:
        if not _equal(token, self._token or ""):
            return HTMLResponse(self._login_page.replace(b" hidden>", b">", 1), 401)  # it says so
        answer = RedirectResponse("/", 303)  # the token leaves the address bar
        answer.set_cookie(self._cookie, self._proof, COOKIE_S, httponly=True, samesite="lax")
        return answer

    def _has_token(self, request: HTTPConnection) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return _equal(token.strip(), self._token or "")
        if scheme.lower() == "basic":
            return _equal(_password(token), self._token or "")
        return _equal(request.cookies.get(self._cookie, ""), self._proof)


def _password(credentials: str) -> str:
    """Return the password of Basic credentials; empty if they are none."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _equal(given: str, secret: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def _check_host(request: HTTPConnection) -> Response | None:
    try:
        name = (urlsplit(f"//{request.headers.get('host', '')}").hostname or "").lower()
        own = socket.gethostname().lower()
        if name not in ("localhost", own, f"{own}.local"):
            ipaddress.ip_address(name)
    except ValueError:
        return _refuse(403, "ask for the page by the IP address of this device, or as http://localhost")
    return None


def _is_same_origin(request: HTTPConnection) -> bool:
    """Return whether the request is of this page, or of a program that is not a browser."""
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    scheme, separator, place = origin.partition("://")
    host = request.headers.get("host", "").lower()
    return bool(separator) and scheme in ("http", "https") and place.lower() == host != ""


def _refuse(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status)
