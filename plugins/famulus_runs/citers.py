"""Whoever cites for a run: the kinds of tool whose passages its messages may rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from famulus_runs.citing import Cite
from famulus_runs.toolbox import Toolbox
from famulus_schemas.tooling import Citer, CitingKind, Mark, Source

if TYPE_CHECKING:
    from famulus.log import Log


async def cite_of(
    toolbox: Toolbox, sources: Mapping[str, Sequence[Source]], *, limit: int, log: Log
) -> Cite | None:
    """What cites the newest of these passages, which functions of these names gave.

    None where nothing is to be cited but what the model cites itself.
    """
    citers: list[Citer] = []
    for name, found in sources.items():
        offer = toolbox.offers.get(name)
        if offer is None or not isinstance(offer.kind, CitingKind):
            continue
        try:
            citer = await offer.kind.citer(found[-limit:])
        except Exception as error:  # An answer that is not cited is better than none.
            log.warning("citer_failed", tool=name, error=type(error).__name__)
            continue
        if citer is not None:
            citers.append(citer)
    if not citers:
        return None

    def cite(sentence: str) -> Sequence[Mark]:
        for citer in citers:
            try:
                marks = citer.cite(sentence)
            except Exception as error:  # As above.
                log.warning("citer_failed", error=type(error).__name__)
                continue
            if marks:
                return marks
        return ()

    return cite
