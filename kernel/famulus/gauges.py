"""What the server itself tells of how it is, as gauges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus_schemas.gauges import Gauge, Values

if TYPE_CHECKING:
    from famulus.kernel import Kernel


def kernel_gauges(kernel: Kernel) -> list[Gauge]:
    """The kernel's own, in the form in which plugins list theirs."""

    def plugin_states() -> Values:
        slots = kernel.lifecycle.slots.values()
        return {(slot.name, str(slot.state)): 1.0 for slot in slots}

    return [
        Gauge(
            name="famulus_requests_in_flight",
            help="Requests and streams that are being served.",
            read=lambda: float(kernel.guests),
        ),
        Gauge(
            name="famulus_streams_open",
            help="Streams of events that are being sent.",
            read=lambda: float(kernel.streams),
        ),
        Gauge(
            name="famulus_plugin_state",
            help="1 for the state that a plugin is in.",
            labels=("plugin", "state"),
            read=plugin_states,
        ),
        Gauge(
            name="famulus_notices_waiting",
            help="Notices of what happened that wait to be heard.",
            read=lambda: float(kernel.notices.waiting),
        ),
        Gauge(
            name="famulus_notices_lost_total",
            help="Notices that were lost since too many waited: other totals lack what they told.",
            read=lambda: float(kernel.notices.lost),
        ),
    ]
