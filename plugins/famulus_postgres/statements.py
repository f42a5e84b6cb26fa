"""Every statement that is sent to the server; names in them are found by the search path."""

from __future__ import annotations

from functools import cache
from typing import Final

from famulus_schemas.records import Order

# --- A session. ----------------------------------------------------------------------------------

# Every statement below is meant for one plan, a walk along an index, and is planned once. What
# the planner would guess of a table that is still empty must not become the plan of a full one.
SESSION: Final = """
select
    set_config('search_path', $1, false),
    set_config('statement_timeout', $2, false),
    set_config('idle_in_transaction_session_timeout', $3, false),
    set_config('synchronous_commit', case current_setting('synchronous_commit')
        when 'off' then 'on' else current_setting('synchronous_commit') end, false),
    set_config('plan_cache_mode', 'force_generic_plan', false),
    set_config('jit', 'off', false),
    set_config('enable_seqscan', 'off', false),
    set_config('enable_bitmapscan', 'off', false),
    set_config('enable_hashjoin', 'off', false),
    set_config('enable_mergejoin', 'off', false)
"""

IS_FSYNC_ON: Final = "select current_setting('fsync') = 'on'"

NOW: Final = "select extract(epoch from clock_timestamp())::float8"

NOTIFY: Final = "select pg_notify($1, payload) from unnest($2::text[]) as payload"

# --- A batch, in the order of its statements. ----------------------------------------------------

# The level is stated, because a database or role may default to another: each statement must see
# what was committed while the one before it waited for a lock.
BEGIN: Final = "begin isolation level read committed"

LOCK: Final = """
select pg_advisory_xact_lock_shared($1)
union all
select pg_advisory_xact_lock(key) from unnest($2::bigint[]) as key
"""

LOCK_ALL: Final = "select pg_advisory_xact_lock($1)"

READ: Final = """
with locked as materialized (
    select r.project, r.kind, r.id, r.parent, r.seq, r.version, r.fence
    from unnest($1::text[], $2::text[], $3::text[]) as named (project, kind, id)
    join record r on r.project = named.project and r.kind = named.kind and r.id = named.id
    order by r.project, r.kind, r.id
    for update of r
)
select project, kind, id, parent, seq, version, fence, null::bigint[] as fresh from locked
union all
select '', '', '', '', 0, 0, 0,
    array(select nextval('record_seq') from generate_series(1, $4::bigint))
"""

# Locks the rows that a Clear removes together with those named, in one order for both, and reads of
# them those that it must not meet.
READ_CLEARING: Final = """
with wanted as (
    select project, kind, id, bool_or(is_read) as is_read
    from (
        select project, kind, id, true as is_read
        from unnest($1::text[], $2::text[], $3::text[]) as named (project, kind, id)
        union all
        select r.project, r.kind, r.id, r.seq > cleared.until
        from unnest($5::text[], $6::text[], $7::text[], $8::bigint[])
            as cleared (project, kind, parent, until)
        join record r on r.project = cleared.project and r.kind = cleared.kind
            and r.parent = cleared.parent
    ) as either
    group by project, kind, id
),
locked as materialized (
    select r.project, r.kind, r.id, r.parent, r.seq, r.version, r.fence, wanted.is_read
    from wanted
    join record r on r.project = wanted.project and r.kind = wanted.kind and r.id = wanted.id
    order by r.project, r.kind, r.id
    for update of r
)
select project, kind, id, parent, seq, version, fence, null::bigint[] as fresh
from locked where is_read
union all
select '', '', '', '', 0, 0, 0,
    array(select nextval('record_seq') from generate_series(1, $4::bigint))
"""

REMOVE: Final = """
with
cleared as (
    select * from unnest($1::text[], $2::text[], $3::text[]) as c (project, kind, parent)
),
deleted as (
    select * from unnest($4::text[], $5::text[], $6::text[]) as d (project, kind, id)
),
cleared_tombstones as (
    delete from tombstone t using cleared c
    where t.project = c.project and t.kind = c.kind and t.parent = c.parent
),
cleared_index as (
    delete from record_index i using cleared c
    where i.project = c.project and i.kind = c.kind and i.parent = c.parent
),
cleared_records as (
    delete from record r using cleared c
    where r.project = c.project and r.kind = c.kind and r.parent = c.parent
),
deleted_index as (
    delete from record_index i using deleted d
    where i.project = d.project and i.kind = d.kind and i.id = d.id
),
deleted_records as (
    delete from record r using deleted d
    where r.project = d.project and r.kind = d.kind and r.id = d.id
)
select txid_current()
"""

# `kept` holds the names that a record's new index has, joined by the unit separator.
WRITE: Final = """
with
inserted as (
    insert into record
        (project, kind, id, parent, seq, version, fence, created_at, shape, body, extra)
    select * from unnest(
        $1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
        $7::bigint[], $8::bigint[], $9::bigint[], $10::bytea[], $11::bytea[])
),
replaced as (
    update record r
    set version = n.version, fence = n.fence, shape = coalesce(n.shape, r.shape),
        body = coalesce(n.body, r.body), extra = coalesce(n.extra, r.extra)
    from unnest(
        $12::text[], $13::text[], $14::text[], $15::bigint[], $16::bigint[], $17::bigint[],
        $18::bytea[], $19::bytea[]) as n (project, kind, id, version, fence, shape, body, extra)
    where r.project = n.project and r.kind = n.kind and r.id = n.id
),
unindexed as (
    delete from record_index i
    using unnest($20::text[], $21::text[], $22::text[], $23::text[])
        as n (project, kind, id, kept)
    where i.project = n.project and i.kind = n.kind and i.id = n.id
        and i.name <> all (string_to_array(n.kept, chr(31)))
),
indexed as (
    insert into record_index as i (project, kind, id, name, value, parent, seq)
    select * from unnest(
        $24::text[], $25::text[], $26::text[], $27::text[], $28::text[], $29::text[],
        $30::bigint[])
    on conflict (id, kind, project, name) do update set value = excluded.value
    where i.value <> excluded.value
),
buried as (
    insert into tombstone as t (project, kind, parent, id, seq)
    select * from unnest($31::text[], $32::text[], $33::text[], $34::text[], $35::bigint[])
    on conflict (project, kind, parent, id) do update set seq = excluded.seq
)
select txid_current()
"""

COMMIT: Final = "commit"

OUTCOME: Final = "select txid_status($1)"

# A backend that still waits for the end of a transaction whose client is gone.
END_BACKEND: Final = """
select pg_terminate_backend(pid) from pg_stat_activity
where backend_xid = $1::text::xid and datname = current_database() and usename = current_user
"""

# --- Reads. --------------------------------------------------------------------------------------

COLUMNS: Final = "r.seq, r.version, r.fence, r.created_at, r.shape, r.body, r.extra"

GET: Final = (
    "select r.parent, "  # noqa: S608
    + COLUMNS
    + " from record r where r.project = $1 and r.kind = $2 and r.id = $3"
)

# `is not distinct from` is no matter for an index, so the key alone leads to the record.
_CURSOR: Final = """
coalesce(
    (select c.seq from record c
        where c.project = $1 and c.kind = $2 and c.id = {id} and c.parent is not distinct from $3),
    (select c.seq from tombstone c
        where c.project = $1 and c.kind = $2 and c.id = {id} and c.parent = $3))
"""

_FROM_LIST: Final = """
from record r
where r.project = $1 and r.kind = $2 and r.parent = $3
"""

# `offset 0` keeps the two apart: joined by constants, the planner would walk all records.
_INDEXED: Final = """
from record_index i
cross join lateral (
    select * from record r
    where r.project = i.project and r.kind = i.kind and r.id = i.id offset 0) as r
"""

_FROM_INDEX: Final = (
    _INDEXED
    + """
where i.project = $1 and i.kind = $2 and i.parent = $3 and i.name = $7 and i.value = $8
"""
)

_OTHER_NAMES: Final = """
and not exists (
    select from unnest({names}::text[], {values}::text[]) as wanted (name, value)
    where not exists (
        select from record_index o
        where o.project = i.project and o.kind = i.kind and o.id = i.id
            and o.name = wanted.name and o.value is not distinct from wanted.value))
"""


@cache
def page(order: Order, *, after: bool, before: bool, backward: bool, names: int) -> str:
    """The statement for one form of page: $1 to $3 say which list, $4 and $5 are `after` and
    `before`, $6 is the limit, $7 and $8 the first name and value, $9 and $10 the others.

    Its first row always comes, and tells whether the cursors are known.
    """
    table, rows = ("i", _FROM_INDEX) if names else ("r", _FROM_LIST)
    if names > 1:
        rows += _OTHER_NAMES.format(names="$9", values="$10")
    past, short_of = (">", "<") if order == "asc" else ("<", ">")
    if after:
        rows += f"and {table}.seq {past} cursor.after_seq\n"
    if before:
        rows += f"and {table}.seq {short_of} cursor.before_seq\n"
    other = {"asc": "desc", "desc": "asc"}
    return f"""
with cursor as materialized (
    select {_CURSOR.format(id="$4::text") if after else "$4::text::bigint"} as after_seq,
        {_CURSOR.format(id="$5::text") if before else "$5::text::bigint"} as before_seq
)
select cursor.after_seq, cursor.before_seq, found.*
from cursor left join lateral (
    select r.id, {COLUMNS} {rows}
    order by {table}.seq {other[order] if backward else order}
    limit $6::bigint
) as found on true
order by found.seq {order}
"""  # noqa: S608


@cache
def scan(order: Order, *, names: int) -> str:
    """The statement for records of a kind in every project: $1 is the kind, $2 and $3 what the seq
    is between, $4 the limit, $5 and $6 the first name and value, $7 and $8 the others.
    """
    if not names:
        return f"""
select r.project, r.id, r.parent, {COLUMNS} from record r
where r.kind || '' = $1 and r.seq > $2 and r.seq < $3 order by r.seq {order} limit $4
"""  # noqa: S608
    others = _OTHER_NAMES.format(names="$7", values="$8") if names > 1 else ""
    return f"""
select r.project, r.id, r.parent, {COLUMNS} {_INDEXED}
where i.kind || '' = $1 and i.name = $5 and i.value = $6 and i.seq > $2 and i.seq < $3
{others} order by i.seq {order} limit $4
"""


# --- Declared kinds. -----------------------------------------------------------------------------

FILLED_NAMES: Final = "select name from kind where kind = $1"

FORGET_NAMES: Final = "delete from kind where kind = $1 and name = any ($2::text[])"

REMEMBER_NAMES: Final = """
insert into kind (kind, name) select $1, unnest($2::text[]) on conflict do nothing
"""

LOCK_FILL: Final = "select pg_advisory_lock($1)"

# The next records in the order of seq, locked in the order of keys as every batch does.
FILL_READ: Final = (
    "select r.project, r.id, r.parent, "  # noqa: S608
    + COLUMNS
    + """
from record r
where (r.project, r.kind, r.id) in (
    select n.project, n.kind, n.id from record n
    where n.kind || '' = $1 and n.seq > $2 order by n.seq limit $3)
order by r.project, r.kind, r.id
for update of r
"""
)

FILL_WRITE: Final = """
insert into record_index as i (project, kind, id, name, value, parent, seq)
select * from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[])
on conflict (id, kind, project, name) do update set value = excluded.value
where i.value <> excluded.value
"""
