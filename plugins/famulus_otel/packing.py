"""Spans as OTLP's protocol buffers. The only module that imports them, once there are any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status

from famulus_otel.finished import Finished, Value

_TEXT_MAX = 256
"""Characters of a value: models and tools are named by whoever asks."""

_KINDS = {
    "internal": trace_pb2.Span.SPAN_KIND_INTERNAL,
    "server": trace_pb2.Span.SPAN_KIND_SERVER,
    "client": trace_pb2.Span.SPAN_KIND_CLIENT,
}


def packed(spans: Sequence[Finished], resource: Mapping[str, str], *, version: str) -> bytes:
    """A request to export these spans."""
    scope = InstrumentationScope(name="famulus", version=version)
    of_scope = ScopeSpans(scope=scope, spans=[_span(each) for each in spans])
    of_server = ResourceSpans(
        resource=Resource(attributes=_attributes(resource.items())), scope_spans=[of_scope]
    )
    data: bytes = ExportTraceServiceRequest(resource_spans=[of_server]).SerializeToString()
    return data


def _span(given: Finished) -> trace_pb2.Span:
    span = given.span
    attributes = dict(given.attributes)
    if given.error:
        attributes["error.type"] = given.error
    return trace_pb2.Span(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.id),
        parent_span_id=bytes.fromhex(span.parent_id),
        name=given.name[:_TEXT_MAX],
        kind=_KINDS[given.kind],
        start_time_unix_nano=int(span.began_at * 1e9),
        end_time_unix_nano=int(given.ended_at * 1e9),
        attributes=_attributes(attributes.items()),
        status=Status(code=Status.STATUS_CODE_ERROR) if given.error else None,
    )


def _attributes(given: Iterable[tuple[str, Value]]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in given]


def _value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=value[:_TEXT_MAX])
