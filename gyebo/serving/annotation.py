"""The page on which people rate a sheet (`gyebo ssa serve`): one page of our own, and four addresses that it calls.

| address | what it does |
| --- | --- |
| GET / and page.css, page.js | the page |
| GET api/items?rater=NAME | the items in this rater's order with this rater's answers; no bot, no id, nobody else's answers |
| POST api/ratings | one rating; the answer comes when it is on the disk |
| GET api/export?rater=NAME | this rater's ratings as .csv, with the keys of items in the place of ids |

Nothing is kept in memory but the sheet: answers are read from the log when somebody comes, so that several browsers, and
several servers of one sheet, don't lose anything.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from gyebo.config.errors import OptionError
from gyebo.ssa.ratings import FIELDS, Rating, log_of, rater_name, read_log, record
from gyebo.ssa.sheet import Sheet, as_csv, order_of, read_sheets

PAGE = Path(__file__).parent / "page"
FILES = {"/": ("index.html", "text/html"), "/page.css": ("page.css", "text/css"), "/page.js": ("page.js", "text/javascript")}
# Nothing from elsewhere is loaded or run, and no other page can show this one.
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; frame-ancestors 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY + "; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
LOCAL = ("127.0.0.1", "localhost")
ReadSheets = Callable[[Sequence[Path]], Sheet]
PATIENCE = 2  # seconds that an open connection may hold up the end


class Answer(BaseModel):
    """What the page sends: the key of an item, and the answers. `specific` is asked only of what is sensible."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rater: str
    item: str
    sensible: bool
    specific: bool | None


def serve(
    sheet: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    opened: ReadSheets = read_sheets,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve the page until Ctrl-C; `announce` is told the address. `port` 0: any that is free.

    Raises FileNotFoundError, and ValueError for what is wrong in the sheet or its log, or where the extra `serve` is not
    installed; OptionError where the address can't be used.
    """
    uvicorn = _library("uvicorn")
    application = annotation(sheet, hosts=LOCAL if host in LOCAL else None, opened=opened)
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise OptionError(f"‹host› {host} ‹port› {port}: {str(error).lower()}: choose another ‹port›, or 0 for any") from None
    with listener:
        name = f"[{host}]" if ":" in host else host
        announce(f"rate {sheet} at http://{name}:{listener.getsockname()[1]} (Ctrl-C ends it); ratings go to {log_of(sheet)}")
        config = uvicorn.Config(application, log_level="warning", access_log=False, timeout_graceful_shutdown=PATIENCE)
        uvicorn.Server(config).run(sockets=[listener])


def annotation(sheet: Path, *, hosts: tuple[str, ...] | None = LOCAL, opened: ReadSheets = read_sheets) -> Any:
    """The application. `hosts`: under which names it answers, None: under any. On this machine alone only under its own: a
    page from elsewhere could otherwise reach it by a name that is made to point here."""
    fastapi = _library("fastapi")
    read, log = opened([sheet]), log_of(sheet)
    read_log(log, read)  # what is wrong in it is said now
    by_key = {item.key: item for item in read.items}
    app = fastapi.FastAPI(title="gyebo ssa", docs_url=None, redoc_url=None, openapi_url=None)
    if hosts is not None:
        app.add_middleware(_library("starlette.middleware.trustedhost").TrustedHostMiddleware, allowed_hosts=list(hosts))

    def named(rater: str) -> str:
        try:
            return rater_name(rater)
        except ValueError as error:
            raise fastapi.HTTPException(422, str(error)) from None

    @app.middleware("http")
    async def protect(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    for address in FILES:
        app.get(address)(_page(address, fastapi.Response))

    @app.get("/api/items")
    def items(rater: str) -> dict[str, Any]:
        return _shown(read, log, named(rater))

    @app.post("/api/ratings")
    def rate(answer: Answer) -> dict[str, bool]:
        name = named(answer.rater)
        if answer.item not in by_key:
            raise fastapi.HTTPException(404, "this response is not in the sheet any more: load the page again")
        if (answer.specific is None) == answer.sensible:
            raise fastapi.HTTPException(422, "specific must be answered if the response is sensible, and only then")
        try:
            record(log, Rating(by_key[answer.item].id, name, answer.sensible, answer.specific))
        except OSError as error:
            raise fastapi.HTTPException(507, f"not saved: {error}") from None
        return {"saved": True}

    @app.get("/api/export")
    def export(rater: str) -> Any:
        name = named(rater)
        headers = {"Content-Disposition": 'attachment; filename="ratings.csv"'}
        return fastapi.Response(as_csv(_own(read, log, name), FIELDS), media_type="text/csv", headers=headers)

    return app


def _page(address: str, respond: Any) -> Callable[[], Any]:
    """What answers at the address of a file."""
    file, media = FILES[address]
    text = (PAGE / file).read_text(encoding="utf-8")
    return lambda: respond(text, media_type=media)


def _shown(sheet: Sheet, log: Path, rater: str) -> dict[str, Any]:
    known = read_log(log, sheet)
    found = []
    for item in order_of(sheet, rater):
        rating = known.get((item.id, rater))
        answer = rating and {"sensible": rating.sensible, "specific": rating.specific}
        shown = {"key": item.key, "context": item.context, "response": item.response, "turn": item.turn, "answer": answer}
        found.append(shown)
    return {"rater": rater, "kind": sheet.kind, "items": found}


def _own(sheet: Sheet, log: Path, rater: str) -> list[dict[str, Any]]:
    known = read_log(log, sheet)
    ratings = [(item.key, known.get((item.id, rater))) for item in order_of(sheet, rater)]
    return [{name: getattr(rating, name) for name in FIELDS} | {"item": key} for key, rating in ratings if rating]


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError('the page needs the extra "serve": pip install "gyebo[serve]"') from None
