"""Kinds of data: how what is kept is found by its age, deleted by its owner, and erased for good.

A plugin lists what it keeps by the hook `register_data_kinds`. Who deletes old things, or all that
is of a project or a person, then needs to know no plugin: it asks each for its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from famulus_schemas.identity import Principal
from famulus_schemas.records import Record, Unit


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What went with something that was deleted."""

    count: int = 1
    bytes: int = 0
    """Of contents, where they are known: blobs, and what indexes take."""
    blobs: tuple[str, ...] = ()
    """Keys of blobs that are gone now, or will be once its jobs are done."""
    ids: tuple[str, ...] = ()
    """Of further records that went with it."""


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of something that is too old; it is deleted only if that is still so."""

    since: int
    """When it was last used, in unix seconds, as `last_used` said."""
    unneeded: Unit = ()
    """Guards, to be committed with its deletion: they refuse it where something has come to need
    it."""


class DataKind(msgspec.Struct, frozen=True, kw_only=True):
    """Things that are deleted one by one, each with all that belongs to it."""

    name: str
    """As operators say it: `threads` is what the setting `threads_days` is about."""
    kind: str
    """The kind of the record that stands for one of them."""
    delete: Callable[[Principal, Record, Idle | None], Awaitable[Removed | None]]
    """Delete one as a client does; None where it is gone already. Raises Problem.

    The last argument is None where it must go whatever becomes of it meanwhile. Else it goes for
    its age, and the owner sees to it, in the very commit, that nobody who has used it meanwhile and
    was answered loses that: None is the answer, too, where it is not idle any more."""
    age: str = ""
    """What its age is counted from, as `since its last message`."""
    last_used: Callable[[Record], Awaitable[int | None]] | None = None
    """Unix seconds that the age is counted from; None while it is in use. Without it, what is
    kept of this kind has no age."""
    size: Callable[[Record], int] | None = None
    """Bytes of contents that would go with it, for a dry run."""
    named_by: str = ""
    """The field of its body by which clients say whose it is: `metadata` or `attributes`."""
    jobs: tuple[str, ...] = ()
    """Kinds of jobs that do the rest of a deletion."""
    is_part: bool = False
    """Whether others go by it, so that it goes with whoever names it last, as a file does."""
    holds: Callable[[str, str, str], Awaitable[Unit | None]] | None = None
    """None where, in a project, something of this kind still needs the record of a kind and id;
    else guards that refuse a unit once something does."""
    also: tuple[str, ...] = ()
    """Further kinds of record that are part of it, where its project is erased and this stays."""
    stays: str = ""
    """Why it is kept where its project is erased, unless that is asked for; empty where it goes."""
    about: Callable[[Record], str | None] | None = None
    """The project that one which is kept among the server's own records tells of."""
    is_copy: bool = False
    """Whether it repeats what others said, and goes where that does."""
    parts: Mapping[str, Callable[[Record], str]] = {}
    """Further kinds of record that go with one, and the id of the one with which a record goes."""
    names_only: tuple[str, ...] = ()
    """Kinds of record that hold nothing of other things but their ids, which tell nothing once
    those are gone."""
    forget: Callable[[str, str], Awaitable[bool]] | None = None
    """Forget what is kept, in a project, under a parent of which records were erased, and may
    repeat what these said, as models' prompts do; False as long as it may still be written."""


class DataPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a plugin keeps something of projects beside records and blobs."""

    name: str
    count: Callable[[str], Awaitable[int]]
    """How much there is of a project."""
    erase: Callable[[str], Awaitable[None]]
    """Remove all of a project; its records are gone by then."""
    renew: Callable[[str, str], Awaitable[bool]] | None = None
    """Have what was kept, in a project, of one thing by its id be made anew from its records, of
    which some were erased; whether that is done. Asked again until it is."""


class Orphans(msgspec.Struct, frozen=True, kw_only=True):
    """What may be left of things that are gone, such as blobs that no record names."""

    name: str
    remove: Callable[[bool], Awaitable[Removed]]
    """Remove them, or only count them where the argument (a dry run) is true."""


Data = DataKind | DataPlace | Orphans
