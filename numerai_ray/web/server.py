"""Server: the dashboard's addresses and what answers them, in one process, until it is interrupted.

aiohttp serves it, because Ray's dashboard brings it into every installation; starlette with uvicorn would do the same
with two more packages to install and keep. The page's files lie beside this module and are served as they are.

Every address is below ``prefix`` as well as below ``/``, and the page asks by relative addresses alone, so it works
behind proxies that hand the prefix on and behind those that cut it off.
"""

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import resources
from typing import Any

from aiohttp import web
from threadpoolctl import threadpool_limits

from numerai_ray.errors import EnvironmentFault, NumeraiRayError, RequestError
from numerai_ray.report.page import SHARED, shared_file
from numerai_ray.system.json_text import without_nan
from numerai_ray.web.guard import Access, Handler, add_headers, guard, report_policy
from numerai_ray.web.live import HEARTBEAT_S, LOOK_S, Live, as_event
from numerai_ray.web.sources import Sources
from numerai_ray.web.tags import tag_of
from numerai_ray.web.values import Reader, compared, json_bytes

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
STATIC = resources.files("numerai_ray.web") / "static"


# What is asked of one experiment: the end of the address, and what makes the answer of a query.
OF_ONE: dict[str, Callable[[Reader, Any], Any]] = {
    "status": lambda reader, _: reader.status(),
    "leaderboard": lambda reader, _: reader.leaderboard(),
    "overview": lambda reader, _: reader.overview(),
    "per-era": lambda reader, query: reader.per_era(query.get("id", "")),
    "diff": lambda reader, query: reader.diff(query.get("first", ""), query.get("second", "")),
    "log": lambda reader, query: reader.log(query.get("id")),
}


class Readers(dict[str, Reader]):
    """Readers by the key of their experiment, made when they are asked for."""

    def __init__(self, sources: Sources):
        super().__init__()
        self.sources = sources

    def __missing__(self, key: str) -> Reader:
        source = self.sources.find(key)
        if source is None:
            raise KeyError(key)
        # Requests come at once, in threads: all of them get the same reader, whose values are made once.
        return self.setdefault(key, Reader(source))

    def look(self) -> dict[str, dict[str, Any]]:
        """The state of every experiment, for :class:`numerai_ray.web.live.Live`."""
        found = {}
        for source in self.sources.all():
            source.refresh()
            try:
                reader = self[source.key]
                found[source.key] = {"stamp": reader.stamp(), **without_nan(reader.live())}
            except (NumeraiRayError, OSError, ValueError) as error:
                found[source.key] = {"stamp": str(error), "state": "damaged", "running": None}
        for key in self.keys() - found.keys():
            del self[key]
        return found


def make_app(sources: Sources, access: Access, look_s: float = LOOK_S) -> web.Application:
    """The application; ``look_s`` is how often files are looked at while a page is open."""
    readers = Readers(sources)
    live = Live(readers.look, look_s)
    app = web.Application(middlewares=[guard(access)], client_max_size=1)
    app.on_response_prepare.append(add_headers)

    async def close(_: web.Application) -> None:
        live.close()

    app.on_shutdown.append(close)
    routes: list[tuple[str, Handler]] = [
        ("/", page),
        ("/static/{name}", static),
        ("/report", partial(report, readers)),
        ("/api/events", partial(events, live)),
        ("/api/experiments", partial(answer, lambda _: _listed(readers))),
        ("/api/compare", partial(answer, lambda q: compared(sources, readers, _pairs(q)))),
    ]
    for name, make in OF_ONE.items():
        routes.append((f"/api/{name}", partial(answer_of_one, readers, name, make)))
    for prefix in dict.fromkeys(("", access.prefix)):
        for path, handler in routes:
            app.router.add_get(f"{prefix}{path}", handler)
        if prefix:
            app.router.add_get(prefix, _to_folder)
    return app


async def page(request: web.Request) -> web.StreamResponse:
    """The page itself."""
    del request
    return _asset("index.html")


async def static(request: web.Request) -> web.StreamResponse:
    """One of the page's files."""
    name = request.match_info["name"]
    if name not in SHARED and not any(each.name == name for each in STATIC.iterdir()):
        raise web.HTTPNotFound
    response = _asset(name)
    response.headers["Cache-Control"] = "no-cache"
    return response


def _asset(name: str) -> web.Response:
    body = shared_file(name) if name in SHARED else (STATIC / name).read_bytes()
    response = web.Response(body=body, content_type=TYPES[name.rsplit(".", 1)[-1]], charset="utf-8")
    response.enable_compression()
    return response


async def report(readers: Readers, request: web.Request) -> web.StreamResponse:
    """The experiment's ``report.html``, in which nothing runs but the script of this version's reports."""
    try:
        body = await asyncio.to_thread(lambda: _of(readers, request.query).page())
    except KeyError:
        raise web.HTTPNotFound from None
    except (NumeraiRayError, OSError) as error:
        return web.Response(status=422, text=str(error))
    response = web.Response(body=body, content_type="text/html", charset="utf-8")
    response.headers["Content-Security-Policy"] = report_policy()
    response.enable_compression()
    return response


async def answer(make: Callable[[Any], Any], request: web.Request) -> web.StreamResponse:
    """JSON of what ``make`` gives for the query; what cannot be read is a message that says so."""
    status = 200
    try:
        body = await asyncio.to_thread(lambda: json_bytes(make(request.query)))
    except KeyError:
        status, body = 404, json_bytes({"error": "no such experiment here; load the page again"})
    except (NumeraiRayError, OSError, ValueError, OverflowError, RecursionError) as error:
        status, body = 422, json_bytes({"error": str(error)})
    response = web.Response(status=status, body=body, content_type="application/json")
    response.enable_compression()
    return response


async def answer_of_one(
    readers: Readers, name: str, make: Callable[[Reader, Any], Any], request: web.Request
) -> web.StreamResponse:
    """An answer of one experiment; that it has not changed, to a page that has it by its tag."""
    query, held = request.query, {each.value for each in request.if_none_match or ()}
    # The tag first: what changes in between has another one, and is sent again rather than held for what it is not.
    tag = await asyncio.to_thread(_tag, readers, name, query)
    if tag is not None and tag in held:
        return web.Response(status=304)
    response = await answer(lambda query: make(_of(readers, query), query), request)
    if tag is not None and response.status == 200:
        response.headers["ETag"] = f'W/"{tag}"'
    return response


async def events(live: Live, request: web.Request) -> web.StreamResponse:
    """What changes, as long as the page is open."""
    if request.method == "HEAD":
        return web.Response(content_type="text/event-stream")
    mailbox = live.join()
    if mailbox is None:
        return web.Response(status=503, text="too many pages are open")
    # Proxies of nginx's kind keep streams back unless they are told.
    headers = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
    response = web.StreamResponse(headers=headers)
    try:
        await response.prepare(request)
        await response.write(b"retry: 2000\n\n")
        while True:
            waiting = await mailbox.take(HEARTBEAT_S)
            text = b"".join(as_event(key, event) for key, event in waiting.items()) or b": still here\n\n"
            await response.write(text)
    except (ConnectionError, asyncio.CancelledError):  # the page was closed, or the server is
        pass
    finally:
        live.leave(mailbox)
    return response


async def _to_folder(request: web.Request) -> web.StreamResponse:
    """Relative addresses of the page begin at a folder."""
    raise web.HTTPFound(f"{request.path}/")


def _listed(readers: Readers) -> dict[str, Any]:
    return {"experiments": [readers[each.key].entry() for each in readers.sources.all()]}


def _tag(readers: Readers, name: str, query: Any) -> str | None:
    with suppress(KeyError):  # what is not there is told by the answer
        return tag_of(name, _of(readers, query), query)
    return None


def _of(readers: Readers, query: Any) -> Reader:
    return readers[query.get("exp", "")]


def _pairs(query: Any) -> list[tuple[str, str]]:
    """``exp`` and ``id`` of each variant, as they follow each other in the query."""
    keys, ids = query.getall("exp", []), query.getall("id", [])
    if len(keys) != len(ids):
        raise RequestError("every variant to compare has an exp and an id")
    return list(zip(keys, ids, strict=True))


def bound(access: Access) -> socket.socket:
    """A listening socket; port 0 is any free one.

    Raises:
        EnvironmentFault: the address cannot be used.

    """
    family = socket.AF_INET6 if ":" in access.host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((access.host, access.port))
    except (OSError, OverflowError) as error:
        found.close()
        why = getattr(error, "strerror", None) or error
        raise EnvironmentFault(
            f"--host {access.host} --port {access.port}: cannot be listened on ({why}); choose another, or leave out "
            f"--port for any that is free"
        ) from None
    return found


def serve(sources: Sources, access: Access, ready: Callable[[str], None]) -> None:
    """Serve until the process is told to stop.

    Args:
        sources: the experiments.
        access: where to listen, and to whom.
        ready: called with the page's address once it answers.

    Raises:
        EnvironmentFault: the address cannot be used.

    """
    listening = bound(access)
    # Small products of matrices gain nothing from several threads, which wait for each other on the run's cores.
    with threadpool_limits(1):
        asyncio.run(_serve(make_app(sources, access), access, listening, ready))


async def _serve(app: web.Application, access: Access, listening: socket.socket, ready: Callable[[str], None]) -> None:
    # No access log: addresses may hold the token.
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        over = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with suppress(NotImplementedError, RuntimeError, ValueError):  # in a thread of a test
                asyncio.get_running_loop().add_signal_handler(number, over.set)
        ready(address_of(access, listening))
        await over.wait()
    finally:
        await runner.cleanup()


def address_of(access: Access, listening: socket.socket) -> str:
    """The page's address for a browser of this machine."""
    port = listening.getsockname()[1]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(access.host, access.host)
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{host}:{port}{access.prefix}/"
