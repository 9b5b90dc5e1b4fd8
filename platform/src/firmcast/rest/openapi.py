"""The OpenAPI description of an interface is made of the declarations of its calls, never written beside them.

OpenAPI 3.1. Beside what a call declares stand the refusals that every call of its interface and proof can meet. The
codes of a status are all that it can carry: each answer of an error names them.
"""

import re
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec

from firmcast import __version__
from firmcast.rest import errors
from firmcast.rest.answers import JSON
from firmcast.rest.endpoints import OCTETS, Answer, Endpoint, Interface, Proof
from firmcast.rest.schemas import COMPONENTS, Schema, Schemas, Struct, plain_values
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire import headers as wire_headers
from firmcast_sdk.wire.errors import ErrorBody, ErrorCode
from firmcast_sdk.wire.feed import LAST_EVENT_ID

_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_ID_LIMIT: Final = 256
_UPGRADES_PREFIX: Final = "/iodm/"
_EXAMPLES: Final = "#/components/examples/"

_TITLES: Final = MappingProxyType(
    {Interface.NORTHBOUND: "Firmcast northbound API", Interface.MANAGEMENT: "Firmcast management API"}
)
_INTRODUCTIONS: Final = MappingProxyType(
    {
        Interface.NORTHBOUND: """\
What applications call: log in, register devices, subscribe to pushes, create upgrade tasks and follow them.

* Log in first. Every other call carries `app_key`, the application's id, and `Authorization: Bearer` with the access
  token. `x-app-key` and a bare `access_token` header are read too.
* Times are UTC and look like `20151212T121212Z`.
* An error is JSON with two strings, `error_code` and `error_desc`. Its words never vary; why exactly a request was
  refused stands in the header `firmcast-reason`. Some errors travel with status 200: look for `error_code` first.
* What is read is read leniently: names in any case, numbers and booleans as text, null for what is optional, further
  fields, any content type. What is answered is described here exactly.
* A request that is no HTTP is refused with 400, a head over 64 KiB with 431 and one that comes too slowly with 408,
  in the same form, before any call is chosen.
""",
        Interface.MANAGEMENT: """\
What operators call: applications and their secrets, firmware packages, administrators, deliveries, the audit log.

* Every call carries `Authorization: Bearer` with an administrator's token, which allows some scopes; each call names
  the one that it needs.
* Times are RFC 3339, UTC.
* An error is JSON with two strings: `error_code`, a word, and `error_desc`, the reason.
""",
    }
)
_SECURITY_SCHEMES: Final[dict[Interface, Schema]] = {
    Interface.NORTHBOUND: {
        "appKey": {"type": "apiKey", "in": "header", "name": wire_headers.APP_KEY, "description": "The application."},
        "accessToken": {"type": "http", "scheme": "bearer", "description": "What a login gave."},
    },
    Interface.MANAGEMENT: {
        "administrator": {"type": "http", "scheme": "bearer", "description": "An administrator's token."}
    },
}
_HEADER_DESCRIPTIONS: Final = MappingProxyType(
    {
        wire_headers.IDEMPOTENCY_KEY: "1 to 128 printable ASCII characters. The same key with the same body answers "
        "what the first call answered, and creates nothing.",
        LAST_EVENT_ID: "The `id` of the last event that was received.",
        "upload-offset": "Where in the package the bytes of this body begin.",
    }
)


def openapi_document(endpoints: Iterable[Endpoint], interface: Interface) -> dict[str, Any]:
    """Return the description of one interface, ready to be written as JSON."""
    calls = [call for call in endpoints if call.interface is interface]
    schemas = Schemas(_structs(calls))
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        for path in (call.path, *call.aliases):
            told = _PARAMETER.sub(r"{\1}", path)
            paths.setdefault(told, {})[call.method.lower()] = _operation(call, told, schemas)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": _TITLES[interface],
            "version": __version__,
            "description": _INTRODUCTIONS[interface],
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The platform that serves this description."}],
        "tags": [{"name": tag} for tag in dict.fromkeys(call.tag for call in calls)],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": _SECURITY_SCHEMES[interface],
            "responses": _shared_refusals(paths),
            "examples": {_example_name(error): _example(error) for call in calls for error in _all_errors(call)},
            "headers": {
                "Reason": {"description": "What exactly was wrong.", "schema": {"type": "string", "maxLength": 1024}}
            },
        },
    }
    _drop_unnamed(document)
    return document


def generic_errors(call: Endpoint) -> tuple[ErrorCode, ...]:
    """Return what every call like this one can be refused with, whatever it does."""
    if call.interface is Interface.MANAGEMENT:
        proof = [errors.UNAUTHORIZED, *([errors.NOT_ALLOWED] if call.scope else [])]
        every = [
            errors.INVALID_REQUEST,
            errors.MANAGEMENT_INTERNAL_ERROR,
            errors.MANAGEMENT_STORE_FULL,
            errors.MANAGEMENT_STORE_UNREACHABLE,
        ]
        too_large, unknown = errors.MANAGEMENT_BODY_TOO_LARGE, errors.NOT_FOUND
    else:
        proof = [wire.APP_KEY_MISSING, wire.BAD_TOKEN, wire.THROTTLED, wire.APPLICATION_FROZEN]
        if call.path.startswith(_UPGRADES_PREFIX):
            every = [wire.BAD_REQUEST_MESSAGE, wire.UPGRADE_INTERNAL_ERROR, errors.UPGRADE_STORE_FULL]
        else:
            every = [wire.BAD_REQUEST_MESSAGE, wire.GATEWAY_INTERNAL_ERROR, errors.STORE_FULL]
        too_large, unknown = errors.BODY_TOO_LARGE, errors.PATH_UNKNOWN
    return (
        *(proof if call.proof is not Proof.NONE else []),
        *every,
        *([too_large] if _takes_body(call) else []),
        *([unknown] if _PARAMETER.search(call.path) else []),
    )


def _structs(calls: Iterable[Endpoint]) -> list[Struct]:
    found: list[Struct | None] = [ErrorBody]
    for call in calls:
        found += [call.query, call.body, *(answer.body for answer in call.answers)]
    return [struct for struct in dict.fromkeys(found) if struct is not None]


def _takes_body(call: Endpoint) -> bool:
    return call.body is not None or call.body_media_type != JSON


def _operation(call: Endpoint, path: str, schemas: Schemas) -> dict[str, Any]:
    is_alias = path != _PARAMETER.sub(r"{\1}", call.path)
    told: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{call.method.lower()}{path}").rstrip("_"),
        "summary": call.summary,
        "description": f"An older path of `{call.path}`." if is_alias else call.description,
        "tags": [call.tag],
        "deprecated": is_alias,
        "parameters": [*_path_parameters(call, path), *_query_parameters(call, schemas), *_header_parameters(call)],
        "requestBody": _request_body(call, schemas),
        "responses": _responses(call, schemas),
        "security": _security(call),
    }
    return {name: value for name, value in told.items() if value or name in ("security", "responses")}


def _security(call: Endpoint) -> list[dict[str, list[str]]]:
    match call.proof:
        case Proof.NONE:
            return []
        case Proof.APPLICATION:
            return [{"appKey": [], "accessToken": []}]
        case Proof.ADMINISTRATOR:
            return [{"administrator": [str(call.scope)] if call.scope else []}]


def _path_parameters(call: Endpoint, path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            **({"description": call.path_descriptions[name]} if name in call.path_descriptions else {}),
            "schema": {"type": "string", "minLength": 1, "maxLength": _ID_LIMIT},
        }
        for name in _PARAMETER.findall(path)
    ]


def _query_parameters(call: Endpoint, schemas: Schemas) -> list[dict[str, Any]]:
    if call.query is None:
        return []
    properties, required = schemas.properties(call.query)
    return [
        {"name": name, "in": "query", "required": name in required, "schema": plain_values(schema)}
        for name, schema in properties.items()
    ]


def _header_parameters(call: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "header",
            "description": _HEADER_DESCRIPTIONS.get(name.lower(), ""),
            "schema": {"type": "string"},
        }
        for name in call.headers
    ]


def _request_body(call: Endpoint, schemas: Schemas) -> dict[str, Any] | None:
    if not _takes_body(call):
        return None
    schema = {} if call.body is None else schemas.reference(call.body)
    return {"required": call.body is not None or call.body_media_type != OCTETS, "content": _content(call, schema)}


def _content(call: Endpoint, schema: Schema) -> dict[str, Any]:
    return {call.body_media_type: {"schema": schema}}


def _responses(call: Endpoint, schemas: Schemas) -> dict[str, Any]:
    refusals: dict[int, dict[str, ErrorCode]] = {}
    for error in _all_errors(call):
        refusals.setdefault(error.status, {}).setdefault(error.code, error)
    answers = {answer.status: answer for answer in call.answers}
    told = {}
    for status in sorted({*answers, *refusals}):
        codes = list(refusals.get(status, {}).values())
        told[str(status)] = _response(call, answers.get(status), codes, schemas)
    return told


def _response(call: Endpoint, answer: Answer | None, codes: Sequence[ErrorCode], schemas: Schemas) -> dict[str, Any]:
    if answer is None:
        return _refusal(call, codes, schemas)
    empty = "No body." if answer.status == 204 else "An empty body."
    told: dict[str, Any] = {"description": answer.description or ("Done." if answer.body else empty)}
    if answer.body is not None:
        told["content"] = {answer.media_type: {"schema": schemas.reference(answer.body)}}
    elif answer.media_type != JSON:
        told["content"] = {answer.media_type: {"schema": {}}}
    if codes:
        refusal = _refusal(call, codes, schemas)
        told["description"] += f" Or refused: {refusal['description']}"
        content = refusal["content"][JSON]
        if answer.body is not None:
            content["schema"] = {"anyOf": [schemas.reference(answer.body), content["schema"]]}
        told.setdefault("content", {})[JSON] = content
    return told


def _refusal(call: Endpoint, codes: Sequence[ErrorCode], schemas: Schemas) -> dict[str, Any]:
    told: dict[str, Any] = {
        "description": " ".join(f"{error.code}: {error.description.rstrip('.')}." for error in codes),
        "content": {
            JSON: {
                "schema": {
                    "allOf": [schemas.reference(ErrorBody)],
                    "properties": {"error_code": {"enum": [error.code for error in codes]}},
                },
                "examples": {error.code: {"$ref": f"{_EXAMPLES}{_example_name(error)}"} for error in codes},
            }
        },
    }
    if call.interface is Interface.NORTHBOUND:
        told["headers"] = {wire_headers.REASON: {"$ref": "#/components/headers/Reason"}}
    return told


def _all_errors(call: Endpoint) -> tuple[ErrorCode, ...]:
    return (*generic_errors(call), *call.errors)


def _example_name(error: ErrorCode) -> str:
    return f"{error.status}-{error.code}"


def _example(error: ErrorCode) -> dict[str, Any]:
    value = {"error_code": error.code, "error_desc": error.description}
    return {"summary": error.description, "value": value}


def _shared_refusals(paths: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Take what calls refuse alike out of them, leave a reference, and return it by its name."""
    shared: dict[str, Any] = {}
    for operation in (operation for methods in paths.values() for operation in methods.values()):
        for status, told in operation["responses"].items():
            content = told.get("content", {}).get(JSON, {})
            if "allOf" in content.get("schema", {}):
                name = "-".join((status, *content["examples"]))
                shared[name] = told
                operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    return shared


def _drop_unnamed(document: dict[str, Any]) -> None:
    """Take out the records that nothing names: the parameters of a query stand with its call."""
    schemas = document["components"]["schemas"]
    while True:
        written = msgspec.json.encode(document).decode()
        unnamed = [name for name in schemas if f'"{COMPONENTS}{name}"' not in written]
        if not unnamed:
            return
        for name in unnamed:
            del schemas[name]
