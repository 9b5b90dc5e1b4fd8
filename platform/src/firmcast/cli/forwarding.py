"""What `firmcast listen --forward-to` does: it reads the application's events, and pushes them as the platform would.

An event is tried until it is accepted, and those behind it of the same device wait. So the receiver is told all that
happened in the order in which it happened, however often it is restarted; and so is the next run that begins where this
one ended.
"""

import asyncio
import json
import signal
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console

from firmcast.cli.connection import Connection
from firmcast.cli.failures import CommandError
from firmcast.cli.read_mark import ReadMark
from firmcast.clock import SystemClock
from firmcast.errors import InvalidValueError
from firmcast.ids import MessageId
from firmcast.push.answer import Answer
from firmcast.push.destination import DestinationRules, parse_callback_url
from firmcast.push.envelope import attempt_headers
from firmcast.push.http_sender import HttpSender, OutgoingRequest, SenderLimits
from firmcast.push.signing import Signer, parse_secret
from firmcast.push.trust import Trust
from firmcast_sdk import AsyncNorthboundClient, ClientError, NorthboundError, TransportOptions
from firmcast_sdk.client import FeedItem, FeedPage
from firmcast_sdk.errors import PlatformFailedError, ThrottledError, TransportError, UnexpectedAnswerError
from firmcast_sdk.wire.feed import CURSOR_EXPIRED, CURSOR_UNKNOWN
from firmcast_sdk.wire.notify_types import NotifyType

_PART: Final = 100
_MOST_OUTSTANDING: Final = 1_000
"""Events that are read ahead; then nothing is read until the receiver takes some."""
_AT_ONE_TIME: Final = 16
_WAIT_SECONDS: Final = 20
_RETRY_SECONDS: Final = (0.2, 0.5, 1.0, 2.0)
_LAST_RETRY_SECONDS: Final = 5.0
_READ_AGAIN_SECONDS: Final = 2.0
_EVERYWHERE: Final = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_PASSING: Final = (PlatformFailedError, ThrottledError, TransportError, UnexpectedAnswerError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """What is forwarded, from where on, and where to."""

    url: str
    authority: Path | None = None
    """PEM file that an https receiver is checked against; None for the system's."""
    signing_secret: str = ""
    after: str = ""
    from_beginning: bool = False
    notify_types: tuple[NotifyType, ...] = ()
    device_id: str = ""
    state: Path | None = None
    """File of the cursor to go on after."""
    count: int = 0
    """End after so many; 0 for never."""
    as_json: bool = False


async def forward(connection: Connection, application: str, secret: str, plan: Forwarding) -> None:
    """Forward events until there were enough, or it is interrupted.

    Raises:
        CommandError: the platform refuses, or something of the plan makes no sense.
    """
    forwarder = Forwarder(plan)
    enough = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, enough.set)
    options = TransportOptions(verify=connection.tls)
    try:
        async with AsyncNorthboundClient(connection.url, app_id=application, secret=secret, options=options) as client:
            run, stop = asyncio.ensure_future(forwarder.run(client)), asyncio.ensure_future(enough.wait())
            ends: set[asyncio.Future[Any]] = {run, stop, forwarder.failed}
            try:
                done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in ends:
                    task.cancel()
                await asyncio.gather(*ends, return_exceptions=True)
                forwarder.close()
            for task in done:
                task.result()
    except NorthboundError as error:
        if error.code in (CURSOR_EXPIRED.code, CURSOR_UNKNOWN.code):
            message = f"{error.description} {error.reason}; --from-beginning begins with the oldest that is kept"
            raise CommandError(message) from error
        raise CommandError(str(error)) from error
    except (ClientError, ValueError) as error:
        raise CommandError(str(error)) from error


class Forwarder:
    """Reads events, and has each device's pushed one after another."""

    def __init__(self, plan: Forwarding) -> None:
        """Prepare; belongs to the running loop.

        Raises:
            CommandError: something of the plan makes no sense.
        """
        self._plan = plan
        try:
            parse_callback_url(plan.url, port_required=False)
            self._signer = Signer([parse_secret(plan.signing_secret)]) if plan.signing_secret else None
            authorities = plan.authority.read_bytes() if plan.authority else b""
        except (InvalidValueError, OSError) as error:
            raise CommandError(str(error).replace("callback_url", "--forward-to")) from error
        self._trust = Trust(authorities=authorities)
        self._sender = HttpSender(rules=DestinationRules(allowed_networks=_EVERYWHERE), limits=SenderLimits())
        self._clock = SystemClock()
        self._said = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._mark = ReadMark()
        self._lanes: dict[str, deque[FeedItem]] = {}
        self._deliveries: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_AT_ONE_TIME)
        self._moved = asyncio.Event()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done with an error that ends all of it."""

    def close(self) -> None:
        """Break off what is under way; it is forwarded again by whoever goes on after the cursor."""
        for task in self._deliveries:
            task.cancel()
        self._sender.close()

    async def run(self, client: AsyncNorthboundClient) -> None:
        """Forward until there were enough events.

        Raises:
            NorthboundError: the platform refuses.
        """
        cursor = self._begin()
        plan, left = self._plan, self._plan.count
        wait_seconds = 0  # at first, so that it is known where "now" is
        while not plan.count or left:
            await self._until(_MOST_OUTSTANDING - _PART)
            page = await self._read(client, cursor, min(_PART, left or _PART), wait_seconds)
            began, cursor = cursor, page.cursor
            left -= len(page.events) if plan.count else 0
            for item in page.events:
                self._mark.read(item.cursor)
                self._enqueue(item)
            if not page.events and self._mark.reached(cursor):
                self._keep()
            if not wait_seconds:
                self._said.print(f"forwarding to {plan.url} {f'after {began}' if began else self._from()}")
                wait_seconds = _WAIT_SECONDS
        await self._until(0)

    async def _read(self, client: AsyncNorthboundClient, cursor: str, limit: int, wait_seconds: int) -> FeedPage:
        told = False
        while True:
            try:
                page = await client.read_events(
                    after=cursor or None,
                    from_beginning=self._plan.from_beginning and not cursor,
                    notify_types=self._plan.notify_types,
                    device_id=self._plan.device_id or None,
                    limit=limit,
                    wait_seconds=wait_seconds,
                )
            except _PASSING as error:
                if not told:
                    self._said.print(f"{error}; trying again")
                told = True
                await asyncio.sleep(_READ_AGAIN_SECONDS)
            else:
                if told:
                    self._said.print("the platform answers again")
                return page

    async def _until(self, outstanding: int) -> None:
        while len(self._mark) > outstanding:
            self._moved.clear()
            await self._moved.wait()

    def _enqueue(self, item: FeedItem) -> None:
        lane = self._lanes.get(item.device_id)
        if lane is not None:
            lane.append(item)
            return
        self._lanes[item.device_id] = deque([item])
        task = asyncio.create_task(self._deliver(item.device_id))
        self._deliveries.add(task)
        task.add_done_callback(self._delivered)

    def _delivered(self, task: asyncio.Task[None]) -> None:
        self._deliveries.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            self.failed.set_exception(error)

    async def _deliver(self, device_id: str) -> None:
        lane = self._lanes[device_id]
        while lane:
            item = lane[0]
            await self._push(item)
            lane.popleft()
            if self._mark.handled(item.cursor):
                self._keep()
            self._moved.set()
        del self._lanes[device_id]

    async def _push(self, item: FeedItem) -> None:
        for attempt, pause in enumerate(chain(_RETRY_SECONDS, repeat(_LAST_RETRY_SECONDS)), start=1):
            body = item.body.encode()
            headers = self._headers(item, body, attempt)
            async with self._slots:
                request = OutgoingRequest(url=self._plan.url, headers=headers, body=body, trust=self._trust)
                answer = await self._sender.send(request)
            if answer.status is not None and 200 <= answer.status < 300:
                typer.echo(self._line(item, headers, answer, attempt))
                return
            self._said.print(f"{item.device_id}  {item.sequence:>4}  {_told(answer)}; again in {pause:g} s")
            await asyncio.sleep(pause)

    def _headers(self, item: FeedItem, body: bytes, attempt: int) -> list[str]:
        signed = self._signer.sign(item.webhook_id, self._clock.now(), body) if self._signer else None
        return attempt_headers(
            message_id=MessageId(item.webhook_id),
            sequence=item.sequence,
            occurred_at=datetime.fromisoformat(item.occurred_at),
            synthesised=item.synthesised,
            attempt=attempt,
            signature=signed,
        )

    def _line(self, item: FeedItem, headers: list[str], answer: Answer, attempt: int) -> str:
        if self._plan.as_json:
            sent = dict(line.split(": ", 1) for line in headers if ": " in line)
            told = {"status": answer.status, "attempt": attempt, "cursor": item.cursor}
            return json.dumps({"push": json.loads(item.body), "headers": sent, **told})
        mark = " (synthesised)" if item.synthesised else ""
        return f"{item.occurred_at}  {item.device_id}  {item.sequence:>4}  {item.notify_type}{mark}  {answer.status}"

    def _begin(self) -> str:
        """Return the cursor to go on after, empty for none; the one that is asked for counts before the one kept."""
        state = self._plan.state
        if self._plan.after or self._plan.from_beginning or state is None:
            return self._plan.after
        try:
            return state.read_text().strip()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeError) as error:
            message = f"{state} cannot be read: {error}"
            raise CommandError(message) from error

    def _from(self) -> str:
        return "from the beginning" if self._plan.from_beginning else "from now on"

    def _keep(self) -> None:
        """Keep how far it has come; a crash leaves the old cursor or the new one."""
        state = self._plan.state
        if state is None:
            return
        written = state.with_name(f"{state.name}.new")
        try:
            written.write_text(f"{self._mark.cursor}\n")
            written.replace(state)
        except OSError as error:
            message = f"{state} cannot be written: {error}"
            raise CommandError(message) from error


def _told(answer: Answer) -> str:
    if answer.status is not None:
        return f"HTTP {answer.status}"
    kind = answer.failure.value.replace("_", " ") if answer.failure else "no answer"
    return f"{kind}{f' ({answer.detail})' if answer.detail else ''}"
