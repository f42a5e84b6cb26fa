"""A message read and a message added over HTTP, against the same server with nothing on it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable

import msgspec
import sample
from famulus_server import famulus
from harness import (
    Figures,
    Options,
    Rounds,
    Row,
    Table,
    Target,
    child,
    column,
    interleave,
    load,
    ratios,
    row,
)
from servers import Served, floor
from storage import Plan, Way

ABOUT = "messages: GET and POST of a message, the whole server (SQLite FULL, keys, all plugins on)"
READERS, WRITERS = 32, 64
MESSAGES = 100
PAGE = 20
ROWS_A_COMMIT = 64

BARE_GET = f"bare ASGI GET, c={READERS}"
GET = f"Famulus GET message, c={READERS}"
LIST = f"Famulus GET list of {PAGE}, c={READERS}"
BARE_LIST = f"bare ASGI GET of {PAGE} messages' bytes, c={READERS}"
RAW_PAGE = f"a page of {PAGE} fetched and joined, plain sqlite3"
BARE_POST = f"bare ASGI POST, typed decode, c={WRITERS}"
RAW_ROW = f"a row of a plain sqlite3 loop, {ROWS_A_COMMIT} a commit"
POST = f"Famulus POST message, c={WRITERS}"
POST_1 = "Famulus POST message, c=1"


def run(options: Options) -> list[Table]:
    """CPU a request."""
    folder = options.folder
    with (
        floor("whole", folder / "floor.log", STORED_BODY=sample.MESSAGE) as bare,
        floor("whole", folder / "floor.log", STORED_BODY=sample.MESSAGE * PAGE) as bare_list,
        famulus(folder) as server,
    ):
        thread, messages = _fill(server)
        path = f"/v1/threads/{thread}/messages"
        reads = [server.request("GET", f"{path}/{message}") for message in messages]
        listing = [server.request("GET", f"{path}?limit={PAGE}")]
        threads = [_thread(server) for _ in range(WRITERS)]
        writes = [
            server.request("POST", f"/v1/threads/{each}/messages", sample.CREATE_MESSAGE)
            for each in threads
        ]
        bare_post = [bare.request("POST", "/", sample.CREATE_MESSAGE)]
        found = interleave(
            {
                BARE_GET: lambda: load(bare, options, [bare.request("GET", "/")], READERS),
                GET: lambda: load(server, options, reads, READERS),
                BARE_LIST: lambda: load(
                    bare_list, options, [bare_list.request("GET", "/")], READERS
                ),
                RAW_PAGE: _raw("raw_page", PAGE, options),
                LIST: lambda: load(server, options, listing, READERS),
                BARE_POST: lambda: load(bare, options, bare_post, WRITERS),
                RAW_ROW: _raw("raw", ROWS_A_COMMIT, options),
                POST: lambda: load(server, options, writes, WRITERS),
                POST_1: lambda: load(server, options, writes, 1),
            },
            options,
        )
    return [_table(found)]


def _fill(server: Served) -> tuple[str, list[str]]:
    thread = _thread(server)
    path = f"/v1/threads/{thread}/messages"
    answers = [server.ask("POST", path, sample.CREATE_MESSAGE) for _ in range(MESSAGES)]
    return thread, [json.loads(answer)["id"] for answer in answers]


def _thread(server: Served) -> str:
    thread: str = json.loads(server.ask("POST", "/v1/threads", b"{}"))["id"]
    return thread


def _raw(way: Way, size: int, options: Options) -> Callable[[], Figures]:
    def measure() -> Figures:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            plan = Plan(
                way=way,
                clients=size,
                warm_s=options.seconds(0.2),
                window_s=options.seconds(1.0),
                folder=folder,
                body=sample.MESSAGE,
            )
            return child("storage.py", stdin=msgspec.json.encode(plan))

    return measure


def _table(found: Rounds) -> Table:
    beside = ("per_s", "p50_ms", "p99_ms")
    listed, posted = _both(found, BARE_LIST, RAW_PAGE), _both(found, BARE_POST, RAW_ROW)
    return Table(
        title="CPU a request",
        unit="CPU us",
        rows=[
            row(found, BARE_GET, beside=beside),
            row(found, GET, floor=BARE_GET, target=Target("<=", 2.5), beside=beside),
            row(found, BARE_LIST, beside=beside),
            row(found, RAW_PAGE, floor=BARE_LIST),
            Row(name="floor of the list: both", figures=listed, ratios=ratios(listed, listed)),
            _over(found, LIST, listed, Target("<=", 2.0)),
            row(found, BARE_POST, beside=beside),
            row(found, RAW_ROW, floor=BARE_POST),
            Row(name="floor of POST: both", figures=posted, ratios=ratios(posted, posted)),
            _over(found, POST, posted, Target("<=", 2.0)),
            _over(found, POST_1, posted, None),
        ],
        note="At c=1 every commit is synced alone, and the floor is still the one of many.",
    )


def _both(found: Rounds, one: str, other: str) -> list[float]:
    return [a + b for a, b in zip(column(found, one), column(found, other), strict=True)]


def _over(found: Rounds, name: str, floor: list[float], target: Target | None) -> Row:
    line = row(found, name, beside=("per_s", "p50_ms", "p99_ms"))
    over = ratios(column(found, name), floor)
    return msgspec.structs.replace(line, ratios=over, target=target)
