"""The AsyncAPI description of the pushes is made of the records and header names that they are written with.

AsyncAPI 3.0. There is one channel, the callback that an application names when it subscribes; the platform sends to it.
"""

import re
import typing
from types import MappingProxyType
from typing import Any, Final

from firmcast import __version__
from firmcast.rest.answers import JSON
from firmcast.rest.schemas import COMPONENTS, Schema, Schemas, Struct
from firmcast_sdk.wire import headers as names
from firmcast_sdk.wire.notifications import TypedNotification

_INTRODUCTION: Final = """\
What the platform sends to an application's callback: one POST for each event, to the URL of the subscription.

* Any 2xx status accepts a push; its body is ignored. Everything else is tried again, for days, and a device's events
  stay in their order meanwhile.
* A push can come more than once: `webhook-id` is the same each time. `firmcast-sequence` numbers the events of a
  device; who subscribes to some types sees some numbers.
* A push is signed as Standard Webhooks says: HMAC-SHA256 over `webhook-id`, `webhook-timestamp` and the body, divided
  by full stops.
* The body is compact JSON, byte for byte the same at each try.
"""
_TIMES: Final = {"type": "string", "format": "date-time"}
_HEADERS: Final[MappingProxyType[str, tuple[str, Schema]]] = MappingProxyType(
    {
        names.WEBHOOK_ID: ("The event's id, the same over retries and replays.", {"type": "string", "minLength": 1}),
        names.WEBHOOK_TIMESTAMP: (
            "Seconds since 1970 of this attempt. On signed pushes.",
            {"type": "string", "pattern": r"^\d+$"},
        ),
        names.WEBHOOK_SIGNATURE: (
            "`v1,` and base64 for a secret, `v1a,` and base64 for a key; divided by blanks. On signed pushes.",
            {"type": "string", "pattern": r"^v1a?,\S+( v1a?,\S+)*$"},
        ),
        names.SEQUENCE: (
            "Number of the event within its device; it grows, and leaves out what was not subscribed to.",
            {"type": "string", "pattern": r"^[1-9]\d*$"},
        ),
        names.ATTEMPT: ("1 for the first try of this delivery.", {"type": "string", "pattern": r"^[1-9]\d*$"}),
        names.OCCURRED_AT: ("When the event happened.", _TIMES),
        names.SYNTHESISED: (
            "`true` when the edge was not seen on the device but follows from what was; absent otherwise.",
            {"type": "string", "const": "true"},
        ),
        names.REPLAY: (
            "`true` when somebody asked for it again: it may be older than what arrived before; absent otherwise.",
            {"type": "string"},
        ),
    }
)
_ALWAYS: Final = (names.WEBHOOK_ID, names.SEQUENCE, names.ATTEMPT, names.OCCURRED_AT)


def asyncapi_document() -> dict[str, Any]:
    """Return the description of the pushes, ready to be written as JSON."""
    records: tuple[Struct, ...] = typing.get_args(TypedNotification)
    schemas = Schemas(records)
    messages = {_type_of(record): _message(record, schemas) for record in records}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Firmcast pushes",
            "version": __version__,
            "description": _INTRODUCTION,
            "license": {"name": "Apache 2.0"},
        },
        "defaultContentType": JSON,
        "channels": {
            "callback": {
                "address": "{callbackUrl}",
                "title": "An application's callback",
                "description": "The URL of a subscription, as it was given.",
                "parameters": {"callbackUrl": {"description": "Scheme, host, port and path."}},
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "push": {
                "action": "send",
                "summary": "Tell an application of an event that it subscribed to",
                "channel": {"$ref": "#/channels/callback"},
                "messages": [{"$ref": f"#/channels/callback/messages/{name}"} for name in messages],
                "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
            }
        },
        "components": {
            "messages": messages,
            "schemas": {"PushHeaders": _headers(), **schemas.components},
        },
    }


def _type_of(record: Struct) -> str:
    return str(record.__struct_config__.tag)


def _message(record: Struct, schemas: Schemas) -> dict[str, Any]:
    name = _type_of(record)
    reference = schemas.reference(record)
    described = schemas.components[reference["$ref"].removeprefix(COMPONENTS)]
    return {
        "name": name,
        "title": re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower(),
        "summary": described.get("description", ""),
        "contentType": JSON,
        "headers": {"$ref": f"{COMPONENTS}PushHeaders"},
        "payload": reference,
    }


def _headers() -> Schema:
    return {
        "type": "object",
        "description": "Headers of a push. Names are read in any case.",
        "properties": {name: {**schema, "description": text} for name, (text, schema) in _HEADERS.items()},
        "required": list(_ALWAYS),
    }
