"""Guard: which requests the dashboard answers, and what a browser may do with the answer.

On loopback any process of this machine may ask, and so may, through the browser, any web page that its user has
open. What keeps such pages out is the ``Host`` header (a name that was rebound to 127.0.0.1 is not one of ours), the
``Origin`` header, and what browsers say about where a request comes from (``Sec-Fetch-Site``). Beyond loopback a token
is asked for; it is compared in constant time, kept in a cookie that scripts cannot read, and never written to a log.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TypeAlias
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from numerai_ray.report.page import script_hash

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
COOKIE = "numerai-ray-dashboard"
LEAST_TOKEN = 16
# No inline script or style, nothing from elsewhere, no form that leads elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
ASK_TOKEN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>numerai-ray dashboard</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><main><h1>numerai-ray dashboard</h1>
<form method="get"><p><label for="token">Token</label> <input id="token" name="token" type="password"
autocomplete="current-password" required> <button>Open</button></p></form></main></html>"""


def report_policy() -> str:
    """Of a report: it lies in the experiment's folder, where anybody may have written it, so its text is shown.

    The one script that runs is that of this version's reports, named by its hash, and as if it came from nowhere.
    """
    return (
        f"sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src {script_hash()}; frame-ancestors 'self'"
    )


Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Access:
    """Where the dashboard listens and who may read it.

    ``names`` are further host names under which a proxy or a tunnel reaches it. ``token`` is asked for from everybody
    where it is set, and must be set beyond loopback. ``prefix`` is the path below which a proxy hands requests on.
    """

    host: str = "127.0.0.1"
    port: int = 0
    names: frozenset[str] = field(default_factory=frozenset)
    token: str | None = field(default=None, repr=False)
    prefix: str = ""

    def knows(self, host: str) -> bool:
        """Whether a ``Host`` header names this dashboard; with a token every name will do, for it is the token's."""
        return self.token is not None or _name(host) in LOOPBACK_NAMES | self.names | {self.host}


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on ``host``."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refusal(access: Access, request: web.Request) -> str | None:
    """Why a request is not answered, whoever asks; None where it is."""
    host = request.headers.get("Host", "")
    if not access.knows(host):
        return f"this dashboard is not called {host[:100]!r}; name it with --allow-host"
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        name = _name(urlsplit(origin).netloc)
        if name not in access.names:
            return "requests of other sites are not answered"
    # A link from elsewhere opens the page; a script or picture of another site gets nothing.
    site, mode = request.headers.get("Sec-Fetch-Site"), request.headers.get("Sec-Fetch-Mode")
    if site == "cross-site" and mode != "navigate":
        return "requests of other sites are not answered"
    return None


def guard(access: Access) -> Middleware:
    """The middleware that every request passes."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            answer: web.StreamResponse = web.Response(status=405, text="read only", headers={"Allow": "GET, HEAD"})
        elif (why := refusal(access, request)) is not None:
            answer = web.Response(status=403, text=why)
        elif access.token is not None and not _has_token(access.token, request):
            answer = _login(access.token, request)
        else:
            try:
                answer = await handler(request)
            except web.HTTPException as error:
                answer = web.Response(status=error.status, text=error.reason, headers=_location(error))
        return answer

    return middleware


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put the security headers on an answer, streams among them, before it is sent."""
    del request
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "numerai-ray"


def _location(error: web.HTTPException) -> dict[str, str]:
    return {"Location": error.headers["Location"]} if "Location" in error.headers else {}


def _has_token(token: str, request: web.Request) -> bool:
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return any(_same(token, given) for given in (request.cookies.get(COOKIE, ""), bearer))


def _login(token: str, request: web.Request) -> web.StreamResponse:
    """The page that asks for the token; the right one in the address becomes a cookie and leaves the address."""
    if not _same(token, request.query.get("token", "")):
        return web.Response(status=401, text=ASK_TOKEN, content_type="text/html")
    answer = web.Response(status=303, headers={"Location": "./"})
    answer.set_cookie(COOKIE, token, httponly=True, samesite="Strict", secure=request.secure)
    return answer


def _same(token: str, given: str) -> bool:
    return hmac.compare_digest(token.encode(), given.encode("utf-8", "replace"))


def _name(host: str) -> str:
    """A host header without its port."""
    return (urlsplit(f"//{host}").hostname or "") if "@" not in host and "/" not in host else ""
