"""Between the server and an SDK receiver stands this recorder: it keeps the body and the headers as they came."""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Recorder:
    """An ASGI application that shows `record` what the application behind it accepted with 200."""

    def __init__(
        self, application: Application, record: Callable[[Mapping[str, Any], Mapping[str, str]], None]
    ) -> None:
        self._application = application
        self._record = record

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        body = bytearray()
        status = 0

        async def receive_and_keep() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        async def send_and_note(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await self._application(scope, receive_and_keep, send_and_note)
        if status == 200 and scope["type"] == "http":
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
            self._record(json.loads(bytes(body)), headers)
