"""Documentation of a library: functions whose names are put together from few words."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from corpus.written import Document, Fact, write

VERBS = (("open", "opens"), ("parse", "parses"), ("merge", "merges"), ("fetch", "fetches"),
         ("encode", "encodes"), ("watch", "watches"))  # fmt: skip
NOUNS = (("archive", "an archive"), ("ledger", "a ledger"), ("calendar", "a calendar"),
         ("mesh", "a mesh"), ("playlist", "a playlist"), ("invoice", "an invoice"),
         ("sensor_log", "a sensor's log"), ("route", "a route"))  # fmt: skip

BETWEEN = (
    "It is safe to call it from several threads.",
    "See also the tutorial.",
    "The behaviour is the same on all platforms.",
    "Returns None where nothing is found.",
    "Added for completeness.",
    "The result must not be modified.",
    "Examples are in the test suite.",
)

PARTS: dict[str, tuple[Fact, ...]] = {
    "Reference": (
        Fact(
            ("`{function}` {verbs} {thing} and returns {result}.",
             "Call `{function}` when you have {thing}; what comes back is {result}."),
            ("What do I get from {function}?", "Return value of {function}()?"),
        ),
        Fact(
            ("The parameter `{parameter}` defaults to {default}.",
             "`{parameter}={default}` unless you say otherwise."),
            ("What value does {parameter} have in {function} if I leave it out?",),
        ),
    ),
    "Errors": (
        Fact(
            ("`{function}` raises `{error}` when {reason}.",
             "If {reason}, `{function}` fails with `{error}`."),
            ("Which exception tells me that {reason} in {function}?",
             "Why does {function} throw {error}?"),
        ),
        Fact(
            ("It tries again up to {tries} times before that.",
             "There are {tries} attempts before the error is raised."),
            ("How many retries does {function} make?",),
        ),
    ),
    "Limits": (
        Fact(
            ("`{function}` accepts inputs of at most {megabytes} MiB.",
             "Inputs over {megabytes} MiB are refused by `{function}`."),
            ("How big may the data be that I hand to {function}?",
             "Maximum size for {function}?"),
        ),
        Fact(
            ("The timeout is {seconds} seconds and set by `{variable}`.",
             "After {seconds} seconds it gives up; `{variable}` changes that."),
            ("Which environment variable controls how long {function} waits?",),
        ),
    ),
    "History": (
        Fact(
            ("`{function}` is new in version {version}.",
             "Since version {version} there is `{function}`."),
            ("In which release was {function} introduced?",),
        ),
        Fact(
            ("It will go away in favour of `{successor}`.",
             "Deprecated: use `{successor}`."),
            ("What should I call instead of the outdated {function}?",),
        ),
    ),
}  # fmt: skip

RESULTS = ("an iterator", "a frozen mapping", "a list of tuples", "a context manager", "bytes",
           "a future", "a named tuple", "a generator")  # fmt: skip
PARAMETERS = (("strict", "True"), ("depth", "3"), ("encoding", "'utf-8'"), ("buffer", "8192"),
              ("locale", "'en'"), ("follow", "False"), ("workers", "4"))  # fmt: skip
ERRORS = ("ChecksumError", "QuotaExceeded", "StaleHandle", "MalformedHeader", "LockTimeout",
          "UnknownCodec", "CycleFound")  # fmt: skip
REASONS = ("the checksum does not match", "the disk is full", "the file was moved meanwhile",
           "the header is damaged", "somebody else holds the lock", "the codec is not installed",
           "entries refer to each other in a circle")  # fmt: skip


def documents(chance: Random) -> Iterator[Document]:
    """Every verb with every noun."""
    for verb, verbs in VERBS:
        for noun, thing in NOUNS:
            function = f"{verb}_{noun}"
            chunks = [
                write(
                    chance,
                    facts,
                    _details(chance) | {"function": function, "verbs": verbs, "thing": thing},
                    between=BETWEEN,
                )
                for facts in PARTS.values()
            ]
            yield Document(f"{function}", chunks)


def _details(chance: Random) -> dict[str, object]:
    parameter, default = chance.choice(PARAMETERS)
    which = chance.randrange(len(ERRORS))
    verb, noun = chance.choice(VERBS)[0], chance.choice(NOUNS)[0]
    return {
        "result": chance.choice(RESULTS),
        "parameter": parameter,
        "default": default,
        "error": ERRORS[which],
        "reason": REASONS[which],
        "tries": chance.randint(2, 9),
        "megabytes": chance.choice((1, 4, 16, 64, 256, 512)),
        "seconds": chance.randint(2, 90),
        "variable": f"TALLY_{noun.upper()}_{chance.choice(('WAIT', 'PATIENCE', 'TIMEOUT'))}",
        "version": f"{chance.randint(1, 4)}.{chance.randint(0, 12)}",
        "successor": f"{verb}_{noun}_v2",
    }
