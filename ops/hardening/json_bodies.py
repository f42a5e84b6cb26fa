"""Sends bodies that are no sound JSON to every operation that takes JSON, and counts the answers.

    python ops/hardening/json_bodies.py --url http://127.0.0.1:8080 --key sk-...

Each must be a 400 in OpenAI's form. The operations are those of the server's own document; those
under `--admin-key`'s paths are tried with it, and left out without one. Ends with 1 if one answer
was another.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
import msgspec

DEEP = 100_000

BODIES: Mapping[str, bytes] = {
    "empty": b"",
    "blank": b" \r\n\t ",
    "a word": b"hello",
    "open brace": b"{",
    "close brace": b"}",
    "open list": b"[",
    "cut in a key": b'{"metad',
    "cut in a text": b'{"metadata": {"a": "b',
    "cut after a colon": b'{"metadata":',
    "comma at the end": b'{"metadata": {},}',
    "comma at the beginning": b"{,}",
    "no colon": b'{"metadata" {}}',
    "single quotes": b"{'metadata': {}}",
    "bare key": b"{metadata: {}}",
    "number as a key": b"{1: 2}",
    "a comment": b'{"metadata": {} /* and so on */}',
    "two bodies": b"{}{}",
    "something after it": b"{} x",
    "NaN": b'{"metadata": NaN}',
    "Infinity": b'{"metadata": Infinity}',
    "-Infinity": b'{"metadata": -Infinity}',
    "zeros before a number": b'{"metadata": 007}',
    "hexadecimal": b'{"metadata": 0x10}',
    "a plus": b'{"metadata": +1}',
    "a point alone": b'{"metadata": .}',
    "two exponents": b'{"metadata": 1e5e5}',
    "True": b'{"metadata": True}',
    "None": b'{"metadata": None}',
    "undefined": b'{"metadata": undefined}',
    "line end in a text": b'{"metadata": {"a": "x\ny"}}',
    "control character in a text": b'{"metadata": {"a": "x\x01y"}}',
    "NUL in a text": b'{"metadata": {"a": "x\x00y"}}',
    "NUL alone": b"\x00",
    "unknown escape": b'{"metadata": {"a": "\\x41"}}',
    "half an escape": b'{"metadata": {"a": "\\u12"}}',
    "high surrogate alone": b'{"metadata": {"a": "\\ud800"}}',
    "low surrogate alone": b'{"metadata": {"a": "\\udc00"}}',
    "surrogates reversed": b'{"metadata": {"a": "\\udc00\\ud800"}}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"metadata": {}}'.encode("utf-16"),
    "UTF-32": '{"metadata": {}}'.encode("utf-32-be"),
    "Latin-1": '{"metadata": {"a": "\u00e4"}}'.encode("latin-1"),
    "overlong UTF-8": b'{"metadata": {"a": "\xc0\xaf"}}',
    "surrogate in UTF-8": b'{"metadata": {"a": "\xed\xa0\x80"}}',
    "bytes that are no text": bytes(range(128, 256)),
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "deep lists": b"[" * DEEP,
    "deep lists, closed": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP,
    "deep objects, closed": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep within a field": b'{"metadata": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "a list for an object": b"[]",
    "a text for an object": b'"{}"',
    "a number for an object": b"1",
    "a truth for an object": b"true",
    "a form": b"metadata=a&b=c",
    "XML": b"<metadata/>",
    "YAML": b"metadata:\n  a: b\n",
}
"""What is no JSON object at all, whichever operation it is sent to."""

NOWHERE = "nowhere"
Ask = Callable[[str, str, bytes], Awaitable[httpx.Response]]


def operations(document: Any) -> list[tuple[str, str]]:
    """Method and path of each operation whose body is JSON, ids in it that belong to nobody."""
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" in content:
                parts = [NOWHERE if part.startswith("{") else part for part in path.split("/")]
                found.append((method.upper(), "/".join(parts)))
    return found


def may_be_empty(document: Any) -> set[str]:
    """Paths whose body may be left out, with ids as in `operations`."""
    return {
        "/".join(NOWHERE if part.startswith("{") else part for part in path.split("/"))
        for path, methods in document["paths"].items()
        for operation in methods.values()
        if not operation.get("requestBody", {}).get("required", False)
    }


def is_refused(answer: httpx.Response) -> bool:
    """Whether an answer is a 400 in OpenAI's form."""
    if answer.status_code != 400:
        return False
    try:
        error = msgspec.json.decode(answer.content)["error"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return False
    is_whole = set(error) == {"message", "type", "param", "code"}
    return is_whole and isinstance(error["message"], str) and bool(error["message"])


async def tried(document: Any, ask: Ask) -> tuple[Counter[int], list[str]]:
    """How often each status was answered, and every answer that it should not have been."""
    statuses: Counter[int] = Counter()
    wrong = []
    lenient = may_be_empty(document)
    for method, path in operations(document):
        for name, body in BODIES.items():
            answer = await ask(method, path, body)
            statuses[answer.status_code] += 1
            # No body at all is none that is wrong where there need be none; then the id counts.
            if name == "empty" and path in lenient and answer.status_code < 500:
                continue
            if not is_refused(answer):
                wrong.append(f"{method} {path}, {name}: {answer.status_code} {answer.text[:100]}")
    return statuses, wrong


def asker(client: httpx.AsyncClient, key: str, admin_key: str | None) -> Ask:
    """Sends a body with the key that its path takes."""

    async def ask(method: str, path: str, body: bytes) -> httpx.Response:
        mine = admin_key if path.startswith("/v1/organization/") else key
        headers = {"authorization": f"Bearer {mine}", "content-type": "application/json"}
        return await client.request(method, path, content=body, headers=headers)

    return ask


async def main(url: str, key: str, admin_key: str | None) -> int:
    """Try all, and print the figures."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        document = (await client.get("/openapi.json")).json()
        if admin_key is None:
            document["paths"] = {
                path: each
                for path, each in document["paths"].items()
                if not path.startswith("/v1/organization/")
            }
        statuses, wrong = await tried(document, asker(client, key, admin_key))
    print("\n".join(wrong))
    print(f"operations {len(operations(document))}, bodies {len(BODIES)}")
    print(f"answers by status {dict(statuses)}, wrong {len(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--admin-key")
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.url, given.key, given.admin_key)))
