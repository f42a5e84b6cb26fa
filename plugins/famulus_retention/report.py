"""What the commands print: tables for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from famulus.visible import visible, visible_json
from famulus_retention.collecting import Collected
from famulus_retention.inventory import Inventory
from famulus_retention.persons import Found, sorted_by_name

UNSETTLED = "Some contents are still being removed: other processes have to finish that."


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows in columns, the numbers to the right."""
    cells = [[visible(str(cell)) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    lines = []
    for row in cells:
        first, *others = zip(row, widths, strict=True)
        line = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        lines.append("  ".join(line).rstrip())
    return "\n".join(lines)


def _json(value: Any) -> str:
    return visible_json(msgspec.json.format(msgspec.json.encode(value), indent=2))


# --- gc ---------------------------------------------------------------------------------------


def collected(done: Collected) -> str:
    """What went, kind by kind."""
    if not any(count.looked_at or count.deleted for count in done.counts.values()):
        return "Nothing is old enough to go, and nothing belongs to nothing."
    word = "WOULD GO" if done.is_dry else "DELETED"
    rows = [
        (name, count.deleted, count.bytes, count.in_use, count.failed)
        for name, count in sorted(done.counts.items())
    ]
    lines = [table(("KIND", word, "BYTES", "IN USE", "FAILED"), rows)]
    if done.unsettled:
        lines.append(UNSETTLED)
    return "\n".join(lines)


def collected_json(done: Collected) -> str:
    """The same for programs."""
    kinds = {
        name: {
            "deleted": count.deleted,
            "bytes": count.bytes,
            "in_use": count.in_use,
            "failed": count.failed,
        }
        for name, count in sorted(done.counts.items())
    }
    return _json({"dry_run": done.is_dry, "kinds": kinds, "unsettled": done.unsettled})


# --- erasing a project ------------------------------------------------------------------------


def inventory(before: Inventory) -> str:
    """What there is."""
    return table(("KIND", "COUNT"), [*before.counts.items(), ("(bytes)", before.bytes)])


def erased(
    project: str, before: Inventory, after: Inventory | None, staying: Mapping[str, str]
) -> str:
    """What was there and what is."""
    if after is None:
        lines = [inventory(before), "Nothing was erased: this was a dry run."]
    else:
        names = sorted({*before.counts, *after.counts})
        rows = [(name, before.counts.get(name, 0), after.counts.get(name, 0)) for name in names]
        lines = [table(("KIND", "BEFORE", "AFTER"), rows)]
        name = visible(project)
        lines.append(
            f"Project {name} is erased: nothing of it was found in any table, blob or index."
            if after.is_empty
            else f"Project {name} is NOT erased: see AFTER. Is somebody still writing to it? "
            "Give the command again."
        )
    lines += [f"Kept: {name}, {why}." for name, why in staying.items()]
    return "\n".join(lines)


def erased_json(
    project: str, before: Inventory, after: Inventory | None, staying: Mapping[str, str]
) -> str:
    """The same for programs."""
    return _json(
        {
            "project": project,
            "dry_run": after is None,
            "before": before.counts,
            "bytes_before": before.bytes,
            "after": None if after is None else after.counts,
            "erased": after is not None and after.is_empty,
            "kept": staying,
        }
    )


# --- erasing a person's -----------------------------------------------------------------------


def found(theirs: Sequence[Found], parts: Sequence[Found]) -> str:
    """What is a person's, and what may go with it."""
    rows = [(each.name, each.id, "") for each in sorted_by_name(theirs)]
    rows += [(each.name, each.id, "unless others name it") for each in sorted_by_name(parts)]
    return _listed(rows)


def _listed(rows: Sequence[Sequence[str]]) -> str:
    return (
        "\n".join("  ".join(map(visible, cells)).rstrip() for cells in rows) or "Nothing was found."
    )


def persons(
    erased: Sequence[Found],
    parts: Sequence[Found],
    left: Sequence[Found] | None,
    staying: Mapping[str, str],
) -> str:
    """What was erased, and what is left."""
    if left is None:
        return found(erased, parts) + "\nNothing was erased: this was a dry run."
    lines = [_listed([(each.name, each.id) for each in sorted_by_name(erased)])]
    if left:
        lines.append("LEFT, and for you to decide: give the ids of what shall go by --id")
        lines += [visible(f"{each.name}  {each.id}  {each.why}") for each in sorted_by_name(left)]
    elif erased:
        lines.append(f"{len(erased)} erased: nothing of it was found in any table or blob.")
    lines += [f"Kept: {name}, {why}." for name, why in staying.items()]
    return "\n".join(lines)


def persons_json(
    erased: Sequence[Found],
    parts: Sequence[Found],
    left: Sequence[Found] | None,
    staying: Mapping[str, str],
) -> str:
    """The same for programs."""
    return _json(
        {
            "dry_run": left is None,
            "would_be_erased" if left is None else "erased": sorted_by_name(erased),
            "parts": sorted_by_name(parts),
            "left": sorted_by_name(left or []),
            "kept": staying,
        }
    )
