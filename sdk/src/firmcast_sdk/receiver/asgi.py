"""The ASGI application of a receiver: reads no more than the limit, leaves all decisions to the pure core.

Source: the ASGI specification 3.0, HTTP and lifespan. It brings no server and mounts in any ASGI framework.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from firmcast_sdk.receiver import answers
from firmcast_sdk.receiver.answers import Answer
from firmcast_sdk.receiver.delivery import Delivery, drive
from firmcast_sdk.receiver.reception import check_head

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApplication = Callable[[Scope, Receive, Send], Awaitable[None]]


class AsgiReceiver:
    """The ASGI application of one receiver."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                answer = await self._answer(scope, receive)
                if answer is not None:
                    await _send(answer, send)
            case "lifespan":
                await _live(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1003})
            case other:
                raise ValueError(f"ASGI scope {other!r} is not one that a receiver serves")

    def below(self, path: str, application: AsgiApplication) -> AsgiApplication:
        """`application` with this receiver mounted at `path`, for frameworks that mount nothing themselves."""
        mount = path.rstrip("/")

        async def divided(scope: Scope, receive: Receive, send: Send) -> None:
            root = str(scope.get("root_path", ""))
            inside = str(scope.get("path", "")).removeprefix(root)
            if scope["type"] == "http" and (inside == mount or inside.startswith(mount + "/")):
                await self({**scope, "root_path": root + mount}, receive, send)
            else:
                await application(scope, receive, send)

        return divided

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        rules = self._delivery.rules
        headers = _headers(scope)
        mount = str(scope.get("root_path", "")).rstrip("/")
        path = str(scope["path"]).removeprefix(mount)
        early = check_head(rules, method=scope["method"], path=path, mounted=bool(mount), headers=headers)
        if early is not None:
            return early
        parts: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            size += len(part)
            if size > rules.size_limit:
                return answers.too_large(rules.size_limit)
            parts.append(part)
            more = message.get("more_body", False)
        return await drive(self._delivery.steps(headers, b"".join(parts)))


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return headers


async def _send(answer: Answer, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.all_headers()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
