"""The dispatcher carries the scheduler's decisions out: it feeds it rows, sends what it names, writes what came of it.

While news of an application's subscriptions is being read, nothing new is sent to it: where a delivery is to go, and
so which others it may not overtake, is known only afterwards.

Everything here runs on one event loop. A failure of the store, or a mistake of ours, is not survived: `broken` is set,
and the process is to end, since what it would go on with is unknown; the next one reads where this one stopped.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from firmcast.applications.use_cases import APPLICATIONS_CHANGED
from firmcast.clock import Clock
from firmcast.db.port import Database
from firmcast.ids import ApplicationId, DeviceId, SubscriptionId
from firmcast.metrics import Metrics
from firmcast.push import standings, use_cases
from firmcast.push.answer import Answer
from firmcast.push.attempt_log import log_failure
from firmcast.push.callback_groups import CallbackGroups
from firmcast.push.callbacks import Callback, all_callbacks, callbacks_of
from firmcast.push.census import Census, has_reason_to_rest, take_census
from firmcast.push.configuration import breaker_policy, lane_limits, retry_policy
from firmcast.push.envelope import attempt_headers
from firmcast.push.gone_watch import GoneWatches
from firmcast.push.http_sender import HttpSender, OutgoingRequest
from firmcast.push.lanes import Lanes, Sendable
from firmcast.push.metrics import PushMetrics
from firmcast.push.model import Delivery, Settlement
from firmcast.push.replay.model import Told
from firmcast.push.replay.use_cases import DELIVERIES_WITHDRAWN
from firmcast.push.retry import Delivered, FailureReason, RetryAt, RetryPolicy, WhenGivenUp, decide
from firmcast.push.settlement_writer import SettlementWriter
from firmcast.push.spill import LoadRequest
from firmcast.push.steady_time import SteadyTime
from firmcast.sealing import Sealer
from firmcast.settings import PushSettings
from firmcast.subscriptions.use_cases import SUBSCRIPTIONS_CHANGED

_log = structlog.get_logger()

_MOST_UNWRITTEN = 20_000
"""With more outcomes than this not yet durable, nothing more is sent."""

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
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Bind the parts; nothing happens before `start`. `draw` gives numbers from 0 to 1 for jitter."""
        self._database = database
        self._sender = sender
        self._clock = clock
        self._sealer = sealer
        self._draw = draw
        self._policy = retry_policy(settings)
        self._time = SteadyTime(clock)
        self._groups = CallbackGroups()
        self._lanes: Lanes[Delivery] = Lanes(
            limits=lane_limits(settings),
            breaker_policy=breaker_policy(settings),
            draw=draw,
            group_of=lambda delivery: self._groups.group_of(delivery.subscription_id),
        )
        self._callbacks: dict[SubscriptionId, Callback] = {}
        self._changed: set[SubscriptionId] = set()  # to be read again
        self._changed_applications: set[ApplicationId] = set()  # whose subscriptions are to be read again
        self._gone = GoneWatches()
        self._unsettled: dict[SubscriptionId, ApplicationId] = {}  # of them, those that hold their application back
        self._writer = SettlementWriter(self._write)
        self._tasks: set[asyncio.Task[None]] = set()
        self._refreshing = asyncio.Lock()
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
        self._show(self._metrics)

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Take up what earlier processes left, then deliver what comes.

        Raises:
            StartError: the key file does not open the signing secrets.
        """
        self._loop = asyncio.get_running_loop()
        self._database.listen(use_cases.NEW_DELIVERIES, self._guarded(self._offer))
        self._database.listen(use_cases.DELIVERIES_AGAIN, self._guarded(self._offer_again))
        self._database.listen(use_cases.LANES_UNBLOCKED, self._guarded(self._unblock))
        self._database.listen(DELIVERIES_WITHDRAWN, self._guarded(self._withdraw))
        self._database.listen(SUBSCRIPTIONS_CHANGED, self._guarded(self._on_subscriptions_changed))
        self._database.listen(APPLICATIONS_CHANGED, self._guarded(self._on_applications_changed))
        await self._database.write(use_cases.hasten, self._clock.now() + _RESTART_GRACE)
        async with self._refreshing:
            # In this order: a subscription that has deliveries and then is unknown was deleted, and is not just new.
            left_over = await self._database.read(use_cases.subscriptions_with_deliveries)
            self._callbacks = await self._database.read(all_callbacks, self._sealer)
            self._spawn(self._writer.run())
            early, self._early = self._early or [], None
            self._begin_with({*left_over, *(delivery.subscription_id for delivery in early)})
            self._hold_back_for_strangers(early)
            self._hold_back_for_changes(self._changed)
            for subscription_id in left_over:
                if subscription_id not in self._callbacks:
                    self._spawn(self._discard(subscription_id))
        self._pump_soon()

    async def stop(self, drain_seconds: float) -> None:
        """Start nothing more, let attempts under way end for so long, break off the rest, write what came of them."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
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
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def is_running(self) -> bool:
        """False before the start, after the end, and when it cannot go on."""
        return self._early is None and not self._stopping

    @property
    def in_flight(self) -> int:
        """How many attempts are under way."""
        return self._sending

    def explains(self, subscription_id: SubscriptionId, device_id: DeviceId) -> bool:
        """Say whether it is right that the head of a device's lane is not being sent just now."""
        group_id = self._groups.group_of(subscription_id)
        group = None if group_id is None else self._lanes.groups.get(group_id)
        if group is None:
            return group_id is None  # its time comes when what came before it is over
        return has_reason_to_rest(group, device_id)

    def _show(self, metrics: PushMetrics) -> None:
        census = Census()

        async def count() -> None:
            nonlocal census
            census = take_census(self._lanes.groups.values())

        metrics.metrics.before_telling(count)
        metrics.lanes.read = lambda: census.lanes
        metrics.breakers.read = lambda: census.breakers
        metrics.in_flight.read = lambda: self._sending
        metrics.unwritten.read = lambda: self._writer.unwritten
        metrics.queued.read = lambda: self._lanes.queued

    # ------------------------------------------------------------------ what the store tells

    def _offer(self, deliveries: Sequence[Delivery]) -> None:
        if self._early is not None:
            self._early += deliveries
            return
        self._hold_back_for_strangers(deliveries)
        self._lanes.offer(deliveries, self._time.now())
        self._pump_soon()

    def _offer_again(self, deliveries: Sequence[Delivery]) -> None:
        if self._early is not None:
            self._early += deliveries
            return
        self._hold_back_for_strangers(deliveries)
        self._lanes.offer_late(deliveries, self._time.now())
        self._pump_soon()

    def _withdraw(self, withdrawn: Sequence[Told]) -> None:
        for told in withdrawn:
            group_id = self._groups.group_of(told.subscription_id)
            if group_id is not None:
                self._lanes.withdraw(group_id, told.device_id, told.event_id)
        self._pump_soon()

    def _unblock(self, lanes: Sequence[tuple[SubscriptionId, DeviceId]]) -> None:
        for subscription_id, device_id in lanes:
            group_id = self._groups.group_of(subscription_id)
            if group_id is not None:
                self._lanes.unblock(group_id, device_id)
        self._pump_soon()

    def _on_subscriptions_changed(self, subscription_ids: Sequence[SubscriptionId]) -> None:
        self._changed |= set(subscription_ids)
        self._hold_back_for_changes(subscription_ids)
        self._spawn(self._refresh())

    def _on_applications_changed(self, application_ids: Sequence[ApplicationId]) -> None:
        self._changed_applications |= set(application_ids)
        self._on_subscriptions_changed(self._subscriptions_of(application_ids))

    # ------------------------------------------------------------------ subscriptions and their groups

    def _begin_with(self, behind: Collection[SubscriptionId]) -> None:
        """Begin all groups, as at the start; those of the subscriptions `behind` read what the store has left."""
        self._groups.arrange({key: callback.place for key, callback in self._callbacks.items()})
        for group in self._groups.begin():
            # Early ones may be older than others that are in the backlog: all are read from the store, in order.
            if not group.subscription_ids.isdisjoint(behind):
                self._lanes.add_backlog(group.group_id)

    def _hold_back_for_changes(self, subscription_ids: Iterable[SubscriptionId]) -> None:
        known = self._callbacks.keys() & set(subscription_ids)
        self._hold_back({key: self._callbacks[key].application_id for key in known})

    def _hold_back_for_strangers(self, deliveries: Iterable[Delivery]) -> None:
        """Wait for the news of subscriptions that are not known yet: it is on its way, as each change is announced."""
        strangers = {
            delivery.subscription_id: delivery.application_id
            for delivery in deliveries
            if delivery.subscription_id not in self._callbacks
        }
        if strangers:
            self._hold_back(strangers)

    def _hold_back(self, unsettled: Mapping[SubscriptionId, ApplicationId]) -> None:
        """Send nothing new to the applications of these subscriptions until they have been read."""
        self._unsettled.update(unsettled)
        for group_id in self._groups.begun_of(set(unsettled.values())):
            self._lanes.pause(group_id)

    async def _refresh(self) -> None:
        """Learn where changed subscriptions are called now; the next attempt of each goes there."""
        async with self._refreshing:
            # All that a changed application has is known here only, where none of it is being read.
            applications, self._changed_applications = self._changed_applications, set()
            changed, self._changed = self._changed.union(self._subscriptions_of(applications)), set()
            if changed:
                self._learn(changed, await self._database.read(callbacks_of, changed, self._sealer))
        self._pump_soon()

    def _subscriptions_of(self, application_ids: Collection[ApplicationId]) -> list[SubscriptionId]:
        return [key for key, callback in self._callbacks.items() if callback.application_id in application_ids]

    def _learn(self, changed: set[SubscriptionId], found: Mapping[SubscriptionId, Callback]) -> None:
        trusted_anew, wanted_anew = [], []
        for subscription_id in sorted(changed):
            before, now = self._callbacks.pop(subscription_id, None), found.get(subscription_id)
            if now is None:
                self._spawn(self._discard(subscription_id))
                continue
            self._callbacks[subscription_id] = now
            if before is not None and (before.trust, before.headers) != (now.trust, now.headers):
                trusted_anew.append(subscription_id)
            if before is not None and before.generation != now.generation:
                wanted_anew.append(subscription_id)
        places = {key: found[key].place if key in found else None for key in sorted(changed)}
        for group_id in self._groups.arrange(places):
            self._lanes.drop_group(group_id)
            self._gone.forget(group_id)
        self._begin_groups()
        for group_id in self._groups.groups_of(trusted_anew):
            self._lanes.hasten(group_id, self._time.now())
        for group_id in self._groups.groups_of(wanted_anew):
            self._gone.begin_anew(group_id, self._clock.now())
        self._let_go(changed - self._changed)

    def _begin_groups(self) -> None:
        """Begin the groups that need not wait any more: with all that the store has of them, due or not."""
        held = set(self._unsettled.values())
        for group in self._groups.begin():
            self._lanes.add_backlog(group.group_id)
            self._lanes.hasten(group.group_id, self._time.now())
            if group.place.application_id in held:
                self._lanes.pause(group.group_id)

    def _let_go(self, settled: Iterable[SubscriptionId]) -> None:
        """Go on with the applications that waited for nothing but these."""
        applications = {self._unsettled.pop(key) for key in settled if key in self._unsettled}
        for group_id in self._groups.begun_of(applications - set(self._unsettled.values())):
            self._lanes.resume(group_id)

    async def _discard(self, subscription_id: SubscriptionId) -> None:
        deliveries, dead_letters, more = 0, 0, True
        while more:
            part = await self._database.write(use_cases.discard_subscription, subscription_id)
            deliveries, dead_letters, more = deliveries + part.deliveries, dead_letters + part.dead_letters, part.more
        _log.info(
            "push.subscription_discarded",
            subscription_id=subscription_id,
            deliveries=deliveries,
            dead_letters=dead_letters,
        )

    async def _load(self, request: LoadRequest) -> None:
        """Read a part of a backlog, once everything settled before the request is durable."""
        await self._writer.written()
        subscription_ids = self._groups.subscriptions_of(request.group_id)
        rows = await self._database.read(use_cases.load, subscription_ids, request.after, request.limit)
        self._lanes.loaded(request, rows, self._time.now())
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
        sendables = self._lanes.take(now)
        if sendables:
            attempted_at = self._clock.now()
            for sendable in sendables:
                self._send(sendable, attempted_at)
        for request in self._lanes.needs_rows():
            self._spawn(self._load(request))
        self._set_alarm(now)

    def _set_alarm(self, now: datetime) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._lanes.next_timer()
        if due is not None:
            self._timer = self._loop.call_later(max(0.0, (due - now).total_seconds()), self._pump_soon)

    def _send(self, sendable: Sendable[Delivery], attempted_at: datetime) -> None:
        delivery = sendable.row
        callback = self._callbacks[delivery.subscription_id]
        headers = attempt_headers(
            message_id=delivery.message_id,
            sequence=delivery.sequence,
            occurred_at=delivery.occurred_at,
            synthesised=delivery.synthesised,
            replay=delivery.replay != 0,
            attempt=sendable.attempt,
            signature=callback.signer.sign(delivery.message_id, attempted_at, delivery.body),
        )
        headers += callback.headers
        self._sending += 1
        self._groups.attempt_begins(sendable.group_id)
        self._sender.start(
            OutgoingRequest(url=callback.url, headers=headers, body=delivery.body, trust=callback.trust),
            partial(self._on_answer, sendable, attempted_at),
        )

    def _on_answer(self, sendable: Sendable[Delivery], attempted_at: datetime, answer: Answer) -> None:
        self._sending -= 1
        if not self._sending:
            self._idle.set()
        try:
            self._settle(sendable, attempted_at, answer)
            if self._groups.attempt_ended(sendable.group_id):
                self._begin_groups()
        except Exception as error:
            self._break(error)

    def _settle(self, sendable: Sendable[Delivery], attempted_at: datetime, answer: Answer) -> None:
        now = self._moment
        if now is None:
            now = self._moment = self._time.now()  # the same for all that have ended in this turn of the loop
        verdict = decide(
            attempt=sendable.attempt,
            first_attempted_at=sendable.first_attempted_at,
            answer=answer,
            policy=self._rules(sendable.row),
            now=now,
            jitter=self._draw(),
        )
        self._lanes.settle(sendable, verdict, now)
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
                )
            )
        if not isinstance(verdict, Delivered):
            log_failure(sendable, answer, verdict)
        self._watch(sendable, attempted_at, answer)
        self._pump_soon()

    def _rules(self, delivery: Delivery) -> RetryPolicy:
        """Return the rules of a delivery's own subscription; history that is told again never blocks its lane."""
        callback = self._callbacks.get(delivery.subscription_id)
        rules = self._policy if callback is None else callback.policy.over(self._policy)
        if delivery.replay and rules.when_given_up is WhenGivenUp.BLOCK:
            return replace(rules, when_given_up=WhenGivenUp.SKIP)
        return rules

    def _watch(self, sendable: Sendable[Delivery], attempted_at: datetime, answer: Answer) -> None:
        """See whether a callback is gone; if it is, call it no more, and keep what it is still to be told."""
        members = self._groups.subscriptions_of(sendable.group_id)
        if members and self._gone.is_gone(sendable.group_id, sendable.row.device_id, answer, attempted_at):
            self._lanes.pause(sendable.group_id)  # until it is read how its subscriptions stand
            generations = {key: self._callbacks[key].generation for key in members if key in self._callbacks}
            _log.warning("push.callback_gone", subscription_ids=sorted(generations))
            self._spawn(self._disable(generations))

    async def _disable(self, generations: Mapping[SubscriptionId, int]) -> None:
        await self._database.write(standings.disable, generations, self._clock.now())

    # ------------------------------------------------------------------ inside

    async def _write(self, settlements: Sequence[Settlement]) -> None:
        await self._database.write(use_cases.record_settlements, settlements)
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
