"""The error envelope and the catalogue of every error that a client can meet.

A `Problem` is raised anywhere in the server and rendered by the kernel, and only there. The
catalogue below is the single list of texts and codes; what a plugin needs beyond it, it declares
in the same form. Texts follow what OpenAI's API answered, because client code matches on them.
"""

from __future__ import annotations

from typing import Any

import msgspec


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, in OpenAI's four keys; all four are always sent."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorEnvelope(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer that is not a success."""

    error: ErrorBody


class Fault(msgspec.Struct, frozen=True):
    """One entry of the catalogue: a kind of error, before the names of a case are put in."""

    status: int
    code: str | None
    text: str
    """A `str.format` template; its fields are given by name when the problem is raised."""
    type: str = "invalid_request_error"


class Problem(Exception):
    """An error that is worded for the client. Raises nothing itself; carries status and body."""

    def __init__(
        self,
        fault: Fault,
        *,
        param: str | None = None,
        headers: dict[str, str] | None = None,
        **names: Any,
    ) -> None:
        self.fault = fault
        self.status = fault.status
        self.headers = headers or {}
        self.body = ErrorBody(
            message=fault.text.format(**names) if names else fault.text,
            type=fault.type,
            param=param,
            code=fault.code,
        )
        super().__init__(self.body.message)


# The request itself.
NOT_HTTP = Fault(400, "invalid_http", "The request is not valid HTTP.")

# The body of a request.
NOT_JSON = Fault(
    400,
    None,
    "We could not parse the JSON body of your request: {reason}. The API expects a JSON payload; "
    "check that your HTTP library sends one and sets Content-Type: application/json.",
)
BODY_TOO_DEEP = Fault(400, None, "The JSON body of your request is nested too deeply.")
MISSING_PARAMETER = Fault(
    400, "missing_required_parameter", "Missing required parameter: '{name}'."
)
UNKNOWN_PARAMETER = Fault(400, "unknown_parameter", "Unknown parameter: '{name}'.")
DUPLICATE_PARAMETER = Fault(
    400, "duplicate_parameter", "The parameter '{name}' is given more than once."
)
NOT_A_FORM = Fault(
    400,
    "invalid_form",
    "We could not parse the multipart form data of your request: {reason}.",
)
INVALID_TYPE = Fault(
    400, "invalid_type", "Invalid type for '{name}': expected {expected}, but got {got} instead."
)
INVALID_VALUE = Fault(
    400, "invalid_value", "Invalid value: '{got}'. Supported values are: {expected}."
)
INVALID = Fault(400, "invalid_value", "Invalid '{name}': {reason}")
INTEGER_BELOW = Fault(
    400,
    "integer_below_min_value",
    "Invalid '{name}': integer below minimum value. "
    "Expected a value >= {limit}, but got {got} instead.",
)
INTEGER_ABOVE = Fault(
    400,
    "integer_above_max_value",
    "Invalid '{name}': integer above maximum value. "
    "Expected a value <= {limit}, but got {got} instead.",
)
DECIMAL_BELOW = Fault(
    400,
    "decimal_below_min_value",
    "Invalid '{name}': decimal below minimum value. "
    "Expected a value >= {limit}, but got {got} instead.",
)
DECIMAL_ABOVE = Fault(
    400,
    "decimal_above_max_value",
    "Invalid '{name}': decimal above maximum value. "
    "Expected a value <= {limit}, but got {got} instead.",
)
STRING_TOO_LONG = Fault(
    400,
    "string_above_max_length",
    "Invalid '{name}': string too long. Expected a string with maximum length {limit}, "
    "but got a string with length {got} instead.",
)
STRING_TOO_SHORT = Fault(
    400,
    "string_below_min_length",
    "Invalid '{name}': string too short. Expected a string with minimum length {limit}, "
    "but got a string with length {got} instead.",
)
STRING_PATTERN = Fault(
    400,
    "invalid_value",
    "Invalid '{name}': string does not match pattern. "
    "Expected a string that matches the pattern '{limit}'.",
)
EMPTY_STRING = Fault(
    400,
    "empty_string",
    "Invalid '{name}': empty string. Expected a string with minimum length {limit}, "
    "but got an empty string instead.",
)
ARRAY_TOO_LONG = Fault(
    400,
    "array_above_max_length",
    "Invalid '{name}': array too long. Expected an array with maximum length {limit}, "
    "but got an array with length {got} instead.",
)
ARRAY_TOO_SHORT = Fault(
    400,
    "array_below_min_length",
    "Invalid '{name}': array too short. Expected an array with minimum length {limit}, "
    "but got an array with length {got} instead.",
)
EMPTY_ARRAY = Fault(
    400,
    "empty_array",
    "Invalid '{name}': empty array. Expected an array with minimum length {limit}, "
    "but got an empty array instead.",
)
OBJECT_TOO_LARGE = Fault(
    400,
    "object_above_max_properties",
    "Invalid '{name}': too many properties. Expected an object with at most {limit} properties, "
    "but got an object with {got} properties instead.",
)
OBJECT_TOO_SMALL = Fault(
    400,
    "object_below_min_properties",
    "Invalid '{name}': not enough properties. Expected an object with at least {limit} "
    "properties, but got an object with {got} properties instead.",
)
PROPERTY_NAME_TOO_LONG = Fault(
    400,
    "property_name_above_max_length",
    "Invalid property name in '{name}': '{key}' is too long. Expected a string with maximum "
    "length {limit}, but got a string with length {got} instead.",
)
PROPERTY_NAME_TOO_SHORT = Fault(
    400,
    "property_name_below_min_length",
    "Invalid property name in '{name}': '{key}' is too short. Expected a string with minimum "
    "length {limit}, but got a string with length {got} instead.",
)
UNKNOWN_CURSOR = Fault(400, None, "No object found with id '{id}' to use as '{name}'.")

# Who is asking.
NO_API_KEY = Fault(
    401,
    None,
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with "
    "blank username) if you're accessing the API from your browser and are prompted for a "
    "username and password. The operator of this server can make one with `famulus keys create`.",
)
WRONG_API_KEY = Fault(
    401,
    "invalid_api_key",
    "Incorrect API key provided: {shown}. The operator of this server can list and make keys "
    "with `famulus keys`.",
)
NOT_ALLOWED = Fault(
    403, "insufficient_permissions", "This API key may not {action}; ask its owner for the scope."
)
MISSING_SCOPE = Fault(
    403,
    "missing_scope",
    "You have insufficient permissions for this operation. Missing scopes: {scope}. Check that "
    "you have the correct role in your project, and if you're using a restricted API key, that it "
    "has the necessary scopes.",
)
NOT_FOR_PROJECT_KEYS = Fault(
    403,
    "missing_scope",
    "You have insufficient permissions for this operation. It takes an admin API key, which the "
    "operator of this server can make with `famulus keys create --admin`.",
)
NOT_FOR_ADMIN_KEYS = Fault(
    403,
    "missing_scope",
    "You have insufficient permissions for this operation. It takes an API key of a project; admin "
    "API keys are for the administration only.",
)
IS_ARCHIVED = Fault(400, "project_archived", "The project {id} is archived.")
PROJECT_ARCHIVED = Fault(
    401,
    "not_authorized_invalid_project",
    "The project you are requesting has been archived and is no longer accessible.",
)

TOO_MANY_FAILURES = Fault(
    429,
    "rate_limit_exceeded",
    "Too many requests from your address came with a wrong API key. Please try again in {wait}.",
    "requests",
)

# How much was asked for.
TOO_MANY_REQUESTS = Fault(
    429,
    "rate_limit_exceeded",
    "Rate limit reached for {whom} on requests per min (RPM): Limit {limit}, Used {used}, "
    "Requested {wanted}. Please try again in {wait}.",
    "requests",
)
TOO_MANY_REQUESTS_A_DAY = Fault(
    429,
    "rate_limit_exceeded",
    "Rate limit reached for {whom} on requests per day (RPD): Limit {limit}, Used {used}, "
    "Requested {wanted}. Please try again in {wait}.",
    "requests",
)
TOO_MANY_TOKENS = Fault(
    429,
    "rate_limit_exceeded",
    "Rate limit reached for {whom} on tokens per min (TPM): Limit {limit}, Used {used}, "
    "Requested {wanted}. Please try again in {wait}.",
    "tokens",
)
TOO_MANY_AT_ONCE = Fault(
    429,
    "rate_limit_exceeded",
    "Rate limit reached for {whom} on {what} at once: Limit {limit}, Used {used}, Requested 1. "
    "Please try again in {wait}, or when one of them is done.",
    "requests",
)
INSUFFICIENT_QUOTA = Fault(
    429,
    "insufficient_quota",
    "You exceeded your current quota: {whom} has spent {spent} of its budget of {amount} "
    "{currency} for {span}. More can be used from {until} on, or once the budget is raised.",
    "insufficient_quota",
)

# What was asked for.
TOO_MANY_CONNECTIONS = Fault(
    429,
    "rate_limit_exceeded",
    "Your address has {limit} connections open already, which is the limit. Use them again, or "
    "close some.",
    "requests",
)
TOO_MANY_STREAMS = Fault(
    429,
    "rate_limit_exceeded",
    "{whom} has {limit} streams open already, which is the limit. Read some to their end, or close "
    "them.",
    "requests",
)

MOVED = Fault(307, "moved", "This is served at {path}.")
UNKNOWN_URL = Fault(404, "unknown_url", "Unknown request URL: {method} {path}.")
METHOD_NOT_ALLOWED = Fault(
    405, "method_not_supported", "Not allowed to {method} on {path}. Allowed: {allowed}."
)
NOT_FOUND = Fault(404, None, "No {thing} found with id '{id}'.")
MODEL_NOT_FOUND = Fault(
    404,
    "model_not_found",
    "The model '{model}' does not exist on this server. It serves: {served}.",
)
BODY_TOO_LARGE = Fault(
    413, "request_too_large", "The request body is larger than the limit of {limit} bytes."
)
BODY_TOO_SLOW = Fault(
    408,
    "request_timeout",
    "The request body did not arrive within {limit} seconds.",
)
FILE_TOO_LARGE = Fault(
    413, "file_too_large", "The file in '{name}' is larger than the limit of {limit} bytes."
)
BODY_STALLED = Fault(408, "request_timeout", "The request body came too slowly: {reason}.")
RANGE_OUTSIDE = Fault(
    416, "range_not_satisfiable", "The range '{range}' is not within the {size} bytes of the file."
)
WRONG_CONTENT_TYPE = Fault(
    415, "unsupported_content_type", "Expected a body of type {expected}, but got '{got}'."
)
HEADERS_TOO_SLOW = Fault(
    408, "request_timeout", "The request's headers did not arrive within {limit} seconds."
)
WRONG_HOST = Fault(
    421,
    "wrong_host",
    "This server is not served as '{host}'. Its operator can list the name in [server] hosts.",
)
HEADERS_TOO_LARGE = Fault(
    431, "headers_too_large", "The request headers are larger than the limit of {limit} bytes."
)

# What the server cannot do now.
TOO_BUSY = Fault(503, "overloaded", "The server is overloaded: {reason}", "server_error")
PLUGIN_DOWN = Fault(
    503,
    "plugin_unavailable",
    "This operation belongs to the plugin '{plugin}', which is {state}: {reason}",
    "server_error",
)
KEYS_UNCHECKED = Fault(
    503,
    "plugin_unavailable",
    "API keys cannot be checked now, because the plugin '{plugin}' does not run; its "
    "operator finds the reason in the server's log.",
    "server_error",
)
INTERNAL = Fault(
    500,
    "internal_error",
    "The server had an error while processing your request. It was logged under the request id "
    "{request_id}.",
    "server_error",
)
STORAGE_FULL = Fault(
    503, "storage_unavailable", "The record store cannot write: {reason}", "server_error"
)
BLOBS_UNAVAILABLE = Fault(
    503, "storage_unavailable", "The file store cannot be used: {reason}", "server_error"
)

# Runs and threads.
ACTIVE_RUN = Fault(400, None, "Thread {thread} already has an active run {run}.")
THREAD_LOCKED = Fault(400, None, "Can't add messages to {thread} while a run {run} is active.")
QUEUE_FULL = Fault(
    429,
    "thread_queue_full",
    "Thread {thread} has {limit} runs waiting for their turn already, which is the limit. Create "
    "the run again when some of them are over, or cancel some.",
    "requests",
)
NOT_CANCELLED = Fault(
    503,
    "run_not_cancelled",
    "Run {run} has thread {thread} and was asked to cancel, but has not ended within {seconds:g} "
    "seconds. Try again.",
    "server_error",
)
NOT_ACCEPTING_OUTPUTS = Fault(400, None, 'Runs in status "{status}" do not accept tool outputs.')
WRONG_OUTPUTS = Fault(400, None, "Expected tool outputs for call_ids {expected}, got {got}")
NOT_CANCELLABLE = Fault(400, None, "Cannot cancel run with status '{status}'.")

# Files.
NO_SUCH_FILE = Fault(404, None, "No such File object: {id}")
FILE_NOT_THERE = Fault(400, None, "No such File object: {id}")

# Models.
BACKEND_REFUSED = Fault(400, None, "The model server refused the request: {reason}")
BACKEND_LIMIT = Fault(
    429, "rate_limit_exceeded", "The model server is over its limit: {reason}", "requests"
)
BACKEND_DOWN = Fault(
    503,
    "backend_unavailable",
    "The model server '{backend}' did not answer: {reason}",
    "server_error",
)
NOT_SUPPORTED = Fault(
    400, "unsupported", "The model '{model}' on backend '{backend}' does not support {what}."
)
