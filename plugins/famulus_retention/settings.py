"""The settings of retention. Without any, everything is kept for ever."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Settings, setting

Days = Annotated[float, msgspec.Meta(ge=0)]


class Ages(Settings, frozen=True, kw_only=True):
    """After how many days things are deleted; 0 is never."""

    threads_days: Annotated[
        Days | None,
        setting(why="Days after its newest message that a thread is deleted, with its runs."),
    ] = None
    files_days: Annotated[
        Days | None,
        setting(why="Days after it was made that a file is deleted, unless a vector store has it."),
    ] = None
    vector_stores_days: Annotated[
        Days | None,
        setting(why="Days after its last use that a vector store is deleted; its files are not."),
    ] = None
    containers_days: Annotated[
        Days | None, setting(why="Days after its last use that a container is deleted.")
    ] = None
    uploads_days: Annotated[
        Days | None, setting(why="Days after it was begun that what an ended upload says goes.")
    ] = None
    audit_days: Annotated[
        Days | None, setting(why="Days that events of the audit log are kept.")
    ] = None
    usage_days: Annotated[
        Days | None, setting(why="Days that the figures of what was used are kept.")
    ] = None
    days: Annotated[
        dict[str, Days],
        setting(why="The same for kinds of data of further plugins, by their names."),
    ] = {}

    def of(self, name: str) -> float | None:
        """The days of a kind of data, where any are given."""
        given: float | None = getattr(self, f"{name}_days", None)
        return self.days.get(name) if given is None else given


class RetentionSettings(Ages, frozen=True, kw_only=True):
    """Table `[plugins.retention]`."""

    projects: Annotated[
        dict[str, Ages],
        setting(why="Projects, by id, that have ages of their own; 0 there is never, too."),
    ] = {}
    sweep_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds from the end of one sweep to the next."),
    ] = 3600.0
    batch_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Things looked at in one go; where it is, is noted after each."),
    ] = 100
    pause_s: Annotated[
        float, msgspec.Meta(ge=0), setting(why="Seconds between two batches, for others to work.")
    ] = 0.1
    lease_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds after which another process goes on with a sweep that went silent."),
    ] = 60.0
    settle_s: Annotated[
        float,
        msgspec.Meta(ge=0),
        setting(
            why="Seconds that erasing waits once a project is shut, for servers to hear of it and "
            "for requests to end; an embedded store has no other servers."
        ),
    ] = 5.0
    finish_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds that erasing waits for what others have to clear up."),
    ] = 60.0

    def age_s(self, name: str, project: str) -> float | None:
        """Seconds after which a project's things of a kind go; None is never."""
        own = self.projects.get(project)
        days = None if own is None else own.of(name)
        days = self.of(name) if days is None else days
        return days * DAY_S if days else None

    def least_age_s(self, name: str) -> float | None:
        """The least age at which something of a kind goes in any project."""
        found = [self.age_s(name, project) for project in ("", *self.projects)]
        return min((age for age in found if age is not None), default=None)

    def named(self) -> set[str]:
        """Kinds of data that have an age anywhere."""
        found = set()
        for ages in (self, *self.projects.values()):
            fields = [field for field in Ages.__struct_fields__ if field.endswith("_days")]
            found |= {field.removesuffix("_days") for field in fields if getattr(ages, field)}
            found |= {name for name, days in ages.days.items() if days}
        return found


DAY_S = 86_400.0
