"""The dispatcher carries the scheduler's decisions out: it feeds it rows, sends what it names, writes what came of it.

Where deliveries go is the roster's to know (`roster.py`).

Where nodes share the store, only devices of partitions that are ours are dealt with (`ownership.py`), what is offered
comes by way of `arrivals.py`, and what another node should have is finished first (`leaving.py`).

Everything here runs on one event loop. A failure of the store, or a mistake of ours, is not survived: `broken` is set,
and the process is to end, since what it would go on with is unknown; the next one reads where this one stopped.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from firmcast.applications.use_cases import APPLICATIONS_CHANGED
from firmcast.clock import Clock
from firmcast.db.patience import patiently
from firmcast.db.port import Channel, Database
from firmcast.ids import ApplicationId, DeviceId, Partition, SubscriptionId, partition_of
from firmcast.metrics import Metrics
from firmcast.nodes import use_cases as nodes
from firmcast.nodes.model import Epoch
from firmcast.push import use_cases
from firmcast.push.answer import Answer
from firmcast.push.arrivals import DOUBTED, ELSEWHERE, Arrivals
from firmcast.push.attempt_log import log_failure
from firmcast.push.configuration import breaker_policy, concurrency_policy, lane_limits, retry_policy
from firmcast.push.doubts import DOUBTED_ELSEWHERE
from firmcast.push.envelope import attempt_fields
from firmcast.push.http_sender import HttpSender, OutgoingRequest
from firmcast.push.lanes import Lanes, Sendable
from firmcast.push.leaving import LeavingPartitions, OnFinished
from firmcast.push.metrics import PushMetrics
from firmcast.push.model import Delivery, GroupId, Settlement
from firmcast.push.ownership import Ownership, SoleOwner
from firmcast.push.replay.model import Told
from firmcast.push.replay.use_cases import DELIVERIES_WITHDRAWN
from firmcast.push.retry import DELIVERED, Delivered, FailureReason, RetryAt, Verdict, decide, failure_reason
from firmcast.push.roster import Roster
from firmcast.push.scheduling.census import has_reason_to_rest
from firmcast.push.scheduling.spill import LoadRequest
from firmcast.push.settlement_writer import SettlementWriter
from firmcast.push.standing import rules_for
from firmcast.push.steady_time import SteadyTime
from firmcast.sealing import Sealer
from firmcast.settings import PushSettings
from firmcast.subscriptions.use_cases import SUBSCRIPTIONS_CHANGED

_log = structlog.get_logger()

_MOST_UNWRITTEN = 20_000
"""With more outcomes than this not yet durable, nothing more is sent."""

_BEGUN_TOGETHER = 64
"""Attempts that are begun in one turn of the loop: some milliseconds, for which whoever commits waits."""

_LAST_WRITE_SECONDS = 5.0
"""How long a stop waits at least for the store; what is not written by then is delivered once more."""

_RESTART_GRACE = timedelta(seconds=5)
"""After a start nothing waits longer than this for its next attempt."""


class Dispatcher:
    """Delivers what the store holds, until it is stopped."""

    def __init__(
        self,
        *,
        database: Database,
        sender: HttpSender,
        clock: Clock,
        settings: PushSettings,
        sealer: Sealer,
        metrics: PushMetrics | None = None,
        ownership: Ownership | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Bind the parts; nothing happens before `start`.

        Without an `ownership` everything is ours. `draw` gives numbers from 0 to 1 for jitter.
        """
        self._database = database
        self._sender = sender
        self._clock = clock
        self._draw = draw
        self._policy = retry_policy(settings)
        self._time = SteadyTime(clock)
        self._lanes: Lanes[Delivery] = Lanes(
            limits=lane_limits(settings),
            breaker_policy=breaker_policy(settings),
            draw=draw,
            concurrency_policy=concurrency_policy(settings),
            group_of=lambda delivery: self._roster.groups.group_of(delivery.subscription_id),
            application_of=self._application_of,
        )
        self._ownership = ownership or SoleOwner()
        self._roster = Roster(
            database=database,
            sealer=sealer,
            clock=clock,
            time=self._time,
            lanes=self._lanes,
            shared=self._ownership.is_shared,
            spawn=self._spawn,
            pump_soon=self._pump_soon,
        )
        self._arrivals: Arrivals | None = None
        self._writer = SettlementWriter(self._write)
        self._leaving = LeavingPartitions(in_flight_devices=self._lanes.in_flight_devices, written=self._writer.written)
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: list[tuple[Channel, Callable[..., None]]] = []
        self._early: list[Delivery] | None = []  # announced before the backlog was known
        self._sending = 0
        self._pump_due = False
        self._moment: datetime | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = False
        self._idle = asyncio.Event()
        self.broken = asyncio.Event()
        """Set when the dispatcher cannot go on; the process must end."""
        self._metrics = metrics or PushMetrics(Metrics())
        self._metrics.show(self._lanes, in_flight=lambda: self._sending, unwritten=lambda: self._writer.unwritten)

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Take up what earlier processes left, then deliver what comes.

        Raises:
            StartError: the key file does not open the signing secrets.
        """
        self._loop = asyncio.get_running_loop()
        if self._ownership.is_shared:
            # What one node wants to wait for, another may have to: by its own clock, that could be hours.
            self._time.set(await patiently(lambda: self._database.read(nodes.time)))
            self._arrivals = Arrivals(
                database=self._database,
                is_mine=self._is_mine,
                partitions=lambda: self._ownership.partitions() or frozenset(),
                offer=self._offer_late,
                read_again=self._read_backlogs_again,
            )
            self._listen(use_cases.NEW_DELIVERIES, self._arrivals.wrote)
            self._listen(use_cases.DELIVERIES_AGAIN, self._arrivals.wrote)
            self._listen(ELSEWHERE, self._arrivals.announced)
            self._listen(DOUBTED, self._arrivals.doubted)
            self._listen(use_cases.CALLBACKS_HELD, self._roster.on_held)
            self._listen(DOUBTED_ELSEWHERE, self._roster.on_doubts)
        else:
            self._listen(use_cases.NEW_DELIVERIES, self._offer)
            self._listen(use_cases.DELIVERIES_AGAIN, self._offer_late)
            now = self._time.now()
            await self._database.write(use_cases.hasten, now, now + _RESTART_GRACE)
        self._listen(use_cases.LANES_UNBLOCKED, self._unblock)
        self._listen(DELIVERIES_WITHDRAWN, self._withdraw)
        self._listen(SUBSCRIPTIONS_CHANGED, self._roster.on_subscriptions_changed)
        self._listen(APPLICATIONS_CHANGED, self._roster.on_applications_changed)

        def begin() -> Sequence[Delivery]:
            self._spawn(self._writer.run())
            early, self._early = self._early or [], None
            return early

        await self._roster.open(begin)
        if self._arrivals is not None:
            self._spawn(self._arrivals.run())
        self._pump_soon()

    def halt(self) -> None:
        """Begin nothing more, from now on; `abandon` or `stop` follows."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()

    async def abandon(self) -> None:
        """Stop at once and write nothing more: what was ours is another's."""
        self.halt()
        self._sender.close()
        await self._end()

    async def stop(self, drain_seconds: float) -> None:
        """Start nothing more, let attempts under way end for so long, break off the rest, write what came of them."""
        self.halt()
        if self._sending and not self.broken.is_set():
            self._idle.clear()
            waiting = asyncio.create_task(self._idle.wait())
            await asyncio.wait({waiting}, timeout=drain_seconds)
            waiting.cancel()
        self._sender.close()
        if not self.broken.is_set():
            written = asyncio.create_task(self._writer.written())
            await asyncio.wait({written}, timeout=max(drain_seconds, _LAST_WRITE_SECONDS))
            written.cancel()
        await self._end()

    async def _end(self) -> None:
        for channel, listener in self._listening:
            self._database.unlisten(channel, listener)
        self._listening.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _listen(self, channel: Channel, listener: Callable[..., None]) -> None:
        guarded = self._guarded(listener)
        self._database.listen(channel, guarded)
        self._listening.append((channel, guarded))

    # ------------------------------------------------------------------ what is ours

    def take_up(self, partitions: Iterable[Partition]) -> None:
        """Begin with partitions that have just become ours: all that the store has left of them, in order."""
        self._leaving.remain(partitions)
        self._roster.learn_holds()
        for group_id in self._roster.groups.all_begun():
            self._lanes.add_backlog(group_id)
        self._pump_soon()

    def give_back(self, partitions: Iterable[Partition], on_finished: OnFinished) -> None:
        """Begin nothing more for partitions, and tell of each when all that was under way is written."""
        self._leaving.add(partitions, on_finished)
        self._lanes.keep_only(self._is_mine)
        self._spawn(self._leaving.finish())

    def _is_mine(self, device_id: DeviceId) -> bool:
        return partition_of(device_id) not in self._leaving and self._ownership.epoch_of(device_id) is not None

    @property
    def is_running(self) -> bool:
        """False before the start, after the end, and when it cannot go on."""
        return self._early is None and not self._stopping

    @property
    def in_flight(self) -> int:
        """How many attempts are under way."""
        return self._sending

    @property
    def refused(self) -> int:
        """How many outcomes could not be written, because the partition was another node's by then."""
        return int(self._metrics.refused.value)

    def explains(self, subscription_id: SubscriptionId, device_id: DeviceId) -> bool:
        """Say whether it is right that the head of a device's lane is not being sent just now."""
        if not self._is_mine(device_id):
            return True  # it is another node's
        group_id = self._roster.groups.group_of(subscription_id)
        group = None if group_id is None else self._lanes.groups.get(group_id)
        if group is None:
            return group_id is None  # its time comes when what came before it is over
        return has_reason_to_rest(group, device_id)

    # ------------------------------------------------------------------ what the store tells

    def _offer(self, deliveries: Sequence[Delivery]) -> None:
        if self._early is not None:
            self._early += deliveries
            return
        self._roster.hold_back_for_strangers(deliveries)
        self._lanes.offer(deliveries, self._time.now())
        self._pump_soon()

    def _offer_late(self, deliveries: Sequence[Delivery]) -> None:
        """Take rows that may be older than others taken before."""
        if self._early is not None:
            self._early += deliveries
            return
        self._roster.hold_back_for_strangers(deliveries)
        self._lanes.offer_late(deliveries, self._time.now())
        self._pump_soon()

    def _read_backlogs_again(self) -> None:
        """Read what the store has, since rows may be there that nobody told of."""
        for group_id in self._roster.groups.all_begun():
            self._lanes.add_backlog(group_id, unheard=True)
        self._pump_soon()

    def _take_anew(self, deliveries: Sequence[Delivery]) -> None:
        """Take rows that stand in the place of others that were taken back while they were under way."""
        if self._arrivals is None:
            self._offer_late(deliveries)
        else:
            self._arrivals.announced([(it.event_id, partition_of(it.device_id)) for it in deliveries])

    def _withdraw(self, withdrawn: Sequence[Told]) -> None:
        if self._arrivals is not None:
            self._arrivals.withdrawn(told.event_id for told in withdrawn)
        for told in withdrawn:
            group_id = self._roster.groups.group_of(told.subscription_id)
            if group_id is not None:
                self._lanes.withdraw(group_id, told.device_id, told.event_id)
        self._pump_soon()

    def _unblock(self, lanes: Sequence[tuple[SubscriptionId, DeviceId]]) -> None:
        for subscription_id, device_id in lanes:
            group_id = self._roster.groups.group_of(subscription_id)
            if group_id is not None:
                self._lanes.unblock(group_id, device_id)
        self._pump_soon()

    async def _load(self, request: LoadRequest) -> None:
        """Read a part of a backlog, once everything settled before the request is durable."""
        await self._writer.written()
        await self._roster.holds_known.wait()
        subscription_ids = self._roster.groups.subscriptions_of(request.group_id)
        mine = self._ownership.partitions()
        if mine is not None:
            mine = self._leaving.without(mine)  # nothing of those is begun any more
        rows = await patiently(
            lambda: self._database.read(use_cases.load, subscription_ids, request.after, request.limit, mine)
        )
        if self._arrivals is not None:
            await self._arrivals.settle(loaded=[(row.event_id, row.subscription_id) for row in rows])
        if not self._lanes.loaded(request, rows, self._time.now()):
            # What was announced of these rows has been heard, and whoever calls there now may have read before them.
            for group_id in self._roster.groups.groups_of(subscription_ids):
                self._lanes.add_backlog(group_id)
        self._pump_soon()

    # ------------------------------------------------------------------ the pump

    def _pump_soon(self) -> None:
        if not self._pump_due:
            self._pump_due = True
            self._loop.call_soon(self._guarded(self._pump))

    def _pump(self) -> None:
        """Send what may be sent, ask for what memory has room for, and set the alarm for what waits."""
        self._pump_due = False
        self._moment = None
        if self._stopping or self._early is not None or self._writer.unwritten > _MOST_UNWRITTEN:
            return
        now = self._time.now()
        self._begin_attempts(now)
        for request in self._lanes.needs_rows():
            self._spawn(self._load(request))
        self._set_alarm(now)

    def _begin_attempts(self, now: datetime) -> None:
        """Send what may be sent; of much the rest has its turn after what else the loop has to do."""
        sendables = self._lanes.take(now, _BEGUN_TOGETHER)
        if sendables:
            attempted_at = self._clock.now()
            for sendable in sendables:
                self._send(sendable, attempted_at)
        if len(sendables) >= _BEGUN_TOGETHER:
            self._pump_soon()

    def _set_alarm(self, now: datetime) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._lanes.next_timer()
        if due is not None:
            self._timer = self._loop.call_later(max(0.0, (due - now).total_seconds()), self._pump_soon)

    def _send(self, sendable: Sendable[Delivery], attempted_at: datetime) -> None:
        delivery = sendable.row
        callback = self._roster.callbacks[delivery.subscription_id]
        names, values = attempt_fields(
            message_id=delivery.message_id,
            sequence=delivery.sequence,
            occurred_at=delivery.occurred_at,
            synthesised=delivery.synthesised,
            replay=delivery.replay != 0,
            attempt=sendable.attempt,
            signature=callback.signer.sign(delivery.message_id, attempted_at, delivery.body),
        )
        epoch = self._ownership.epoch_of(delivery.device_id)
        if epoch is None:
            return  # our time is over, and so is this dispatcher's
        self._sending += 1
        self._roster.groups.attempt_begins(sendable.group_id)
        self._sender.start(
            OutgoingRequest(
                url=callback.url,
                headers=callback.headers,
                names=names,
                values=values,
                body=delivery.body,
                trust=callback.trust,
            ),
            partial(self._on_answer, sendable, attempted_at, epoch),
        )

    def _on_answer(self, sendable: Sendable[Delivery], attempted_at: datetime, epoch: Epoch, answer: Answer) -> None:
        self._sending -= 1
        if not self._sending:
            self._idle.set()
        try:
            self._settle(sendable, attempted_at, epoch, answer)
            if self._leaving:
                self._spawn(self._leaving.finish())
            if self._roster.groups.attempt_ended(sendable.group_id):
                self._roster.begin_groups()
        except Exception as error:
            self._break(error)

    def _settle(self, sendable: Sendable[Delivery], attempted_at: datetime, epoch: Epoch, answer: Answer) -> None:
        now = self._moment
        if now is None:
            now = self._moment = self._time.now()  # the same for all that have ended in this turn of the loop
        # Almost every answer is this one, and needs no rules.
        verdict = DELIVERED if failure_reason(answer) is None else self._verdict_on(sendable, answer, now)
        self._lanes.settle(sendable, verdict, now)
        if isinstance(verdict, RetryAt) and verdict.holds_callback:
            self._roster.note_hold(sendable.row.subscription_id, verdict.at)
        self._metrics.settled(verdict, sendable.row.occurred_at, now, answer.duration)
        if not isinstance(verdict, RetryAt) or verdict.reason is not FailureReason.LOCAL:
            self._writer.add(
                Settlement(
                    delivery=sendable.row,
                    attempt=sendable.attempt,
                    attempted_at=attempted_at,
                    first_attempted_at=sendable.first_attempted_at,
                    retried=sendable.retried,
                    answer=answer,
                    verdict=verdict,
                    settled_at=now,
                    epoch=epoch,
                )
            )
        if not isinstance(verdict, Delivered):
            log_failure(sendable, answer, verdict)
        self._roster.answered(sendable.group_id, sendable.row.device_id, attempted_at, answer)
        if not self._pump_due:
            self._pump_soon()

    def _verdict_on(self, sendable: Sendable[Delivery], answer: Answer, now: datetime) -> Verdict:
        callback = self._roster.callbacks.get(sendable.row.subscription_id)
        own = None if callback is None else callback.policy
        return decide(
            attempt=sendable.attempt,
            first_attempted_at=sendable.first_attempted_at,
            answer=answer,
            policy=rules_for(own, self._policy, again=sendable.row.replay != 0),
            now=now,
            date=self._clock.now(),
            jitter=self._draw(),
        )

    # ------------------------------------------------------------------ inside

    def _application_of(self, group_id: GroupId) -> ApplicationId:
        return self._roster.groups.application_of(group_id)

    async def _write(self, settlements: Sequence[Settlement]) -> None:
        still_held = self._ownership.still_held if self._ownership.is_shared else None
        recorded = await patiently(
            lambda: self._database.write_apart(use_cases.record_settlements, settlements, still_held)
        )
        if recorded.refused:
            self._metrics.refused.value += recorded.refused
            reason = "their partitions are another node's"
            _log.warning("push.outcomes_refused", outcomes=recorded.refused, reason=reason)
        if recorded.made_since:
            self._take_anew(recorded.made_since)
        if len(settlements) + self._writer.unwritten > _MOST_UNWRITTEN:
            self._pump_soon()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._break(error)

    def _guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        """Return `callback` so that its failure does not go unnoticed by a loop that would only log it."""

        def call(*arguments: Any) -> None:
            try:
                callback(*arguments)
            except Exception as error:  # whatever it is, the dispatcher's state is no longer sound
                self._break(error)

        return call

    def _break(self, error: BaseException) -> None:
        if self._stopping or self.broken.is_set():
            return
        _log.critical("push.broken", error=repr(error), exc_info=error)
        self._stopping = True
        self.broken.set()
