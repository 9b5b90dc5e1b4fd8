"""Where each subscription is called now, and so which deliveries may not overtake which: a copy of what the store says.

While news of an application's subscriptions is being read, nothing new is sent to it: where a delivery is to go, and
so which others it may not overtake, is known only afterwards. A callback that is gone is called no more, and what it is
still to be told is kept.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog

from firmcast.clock import Clock
from firmcast.db.columns import from_column
from firmcast.db.patience import patiently
from firmcast.db.port import Database
from firmcast.ids import ApplicationId, DeviceId, SubscriptionId
from firmcast.push import standings, use_cases
from firmcast.push.answer import Answer
from firmcast.push.callback_groups import CallbackGroup, CallbackGroups
from firmcast.push.callbacks import Callback, all_callbacks, callbacks_of
from firmcast.push.doubts import Doubt, tell
from firmcast.push.gone_watch import GoneWatches, Said
from firmcast.push.holds import Holds
from firmcast.push.lanes import Lanes
from firmcast.push.model import Delivery, GroupId
from firmcast.push.steady_time import SteadyTime
from firmcast.sealing import Sealer

_log = structlog.get_logger()
_NEWS = timedelta(seconds=1)
_DOUBT_SECONDS = 0.5
"""So long a refusal waits before other nodes hear of it: of most the next answer shows that they mean nothing."""


class Roster:
    """The callbacks of all subscriptions, and the groups that they form in the scheduler."""

    def __init__(
        self,
        *,
        database: Database,
        sealer: Sealer,
        clock: Clock,
        time: SteadyTime,
        lanes: Lanes[Delivery],
        shared: bool,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        pump_soon: Callable[[], None],
    ) -> None:
        """Start without subscriptions; `open` reads them. `shared` when other nodes deliver from the same store."""
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._time = time
        self._lanes = lanes
        self._shared = shared
        self._spawn = spawn
        self._pump_soon = pump_soon
        self.groups = CallbackGroups()
        self.callbacks: dict[SubscriptionId, Callback] = {}
        self._changed: set[SubscriptionId] = set()  # to be read again
        self._changed_applications: set[ApplicationId] = set()  # whose subscriptions are to be read again
        self._gone = GoneWatches(self._tell_soon if shared else None)
        self._doubted: set[GroupId] = set()  # others will hear of it in a while
        self._holds = Holds()
        self._learning = 0
        self.holds_known = asyncio.Event()
        """Set while all that the store says of receivers that asked for time is known."""
        self.holds_known.set()
        self._unsettled: dict[SubscriptionId, ApplicationId] = {}  # of the changed, those that hold back
        self._refreshing = asyncio.Lock()

    async def open(self, begin: Callable[[], Sequence[Delivery]]) -> None:
        """Read all subscriptions; what `begin` returns once they are known was announced before.

        Raises:
            StartError: the key file does not open the signing secrets.
        """
        async with self._refreshing:
            # In this order: a subscription that has deliveries and then is unknown was deleted, and is not just new.
            left_over = await patiently(lambda: self._database.read(use_cases.subscriptions_with_deliveries))
            self.callbacks = await patiently(lambda: self._database.read(all_callbacks, self._sealer))
            await self._read_holds()
            early = begin()
            self._begin_with({*left_over, *(delivery.subscription_id for delivery in early)})
            self.hold_back_for_strangers(early)
            self._hold_back_for_changes(self._changed)
            for subscription_id in left_over:
                if subscription_id not in self.callbacks:
                    self._spawn(self._discard(subscription_id))

    def on_subscriptions_changed(self, subscription_ids: Sequence[SubscriptionId]) -> None:
        """Hold their applications back, and learn how they stand now."""
        self._changed |= set(subscription_ids)
        self._hold_back_for_changes(subscription_ids)
        self._spawn(self._refresh())

    def on_applications_changed(self, application_ids: Sequence[ApplicationId]) -> None:
        """Learn how the subscriptions of these applications are signed and trusted now."""
        self._changed_applications |= set(application_ids)
        self.on_subscriptions_changed(self._subscriptions_of(application_ids))

    def answered(self, group_id: GroupId, device_id: DeviceId, attempted_at: datetime, answer: Answer) -> None:
        """See whether a callback is gone; if it is, call it no more, and keep what it is still to be told."""
        if self._gone.is_gone(group_id, device_id, answer, attempted_at):
            self._call_no_more(group_id)

    def on_doubts(self, doubts: Sequence[Doubt]) -> None:
        """Take note of what other nodes have heard of callbacks that may be gone."""
        for doubt in doubts:
            callback = self.callbacks.get(doubt.subscription_id)
            group_id = self.groups.group_of(doubt.subscription_id)
            if callback is None or callback.generation != doubt.generation or group_id is None:
                continue
            if self._gone.hear(group_id, doubt.hearsay):
                self._call_no_more(group_id)

    def _tell_soon(self, group_id: GroupId, said: Said) -> None:
        if said is not Said.GONE:
            self._spawn(self._tell_doubts(group_id))
        elif group_id not in self._doubted:
            self._doubted.add(group_id)
            self._spawn(self._tell_refusals(group_id))

    async def _tell_refusals(self, group_id: GroupId) -> None:
        await asyncio.sleep(_DOUBT_SECONDS)
        self._doubted.discard(group_id)
        await self._tell_doubts(group_id)

    async def _tell_doubts(self, group_id: GroupId) -> None:
        news, members = self._gone.take_news(group_id), self.groups.subscriptions_of(group_id)
        known = min((key for key in members if key in self.callbacks), default=None)
        if news and known is not None:
            generation = self.callbacks[known].generation
            doubts = [Doubt(known, generation, *each) for each in news]
            await patiently(lambda: self._database.write(tell, doubts))

    def _call_no_more(self, group_id: GroupId) -> None:
        members = self.groups.subscriptions_of(group_id)
        if members:
            self._lanes.pause(group_id)  # until it is read how its subscriptions stand
            generations = {key: self.callbacks[key].generation for key in members if key in self.callbacks}
            _log.warning("push.callback_gone", subscription_ids=sorted(generations))
            self._spawn(self._disable(generations))

    def note_hold(self, subscription_id: SubscriptionId, until: datetime) -> None:
        """Remember that a receiver wants to be left alone, also when other groups are called there, and tell others."""
        callback, now = self.callbacks.get(subscription_id), self._time.now()
        if callback is None or callback.place is None:
            return
        known = self._holds.until(callback.place, now)
        self._holds.note(callback.place, until, now)
        # Of those under way each hears a little later time: that is not worth a commit.
        if self._shared and (known is None or until - known > _NEWS):
            self._spawn(self._tell_hold(subscription_id, until))

    def on_held(self, held: Sequence[tuple[SubscriptionId, int]]) -> None:
        """Leave receivers alone that asked any node for it."""
        for subscription_id, column in held:
            callback, until, now = self.callbacks.get(subscription_id), from_column(column), self._time.now()
            if callback is None or callback.place is None or until <= now:
                continue
            self._holds.note(callback.place, until, now)
            group_id = self.groups.group_of(subscription_id)
            if group_id is not None:
                self._lanes.hold(group_id, until)
        self._pump_soon()

    def learn_holds(self) -> None:
        """Learn from the store which receivers asked for time, as when devices have become ours; loads wait for it."""
        self._learning += 1
        self.holds_known.clear()
        self._spawn(self._learn_holds())

    async def _learn_holds(self) -> None:
        await self._read_holds()
        for group in self.groups.groups_begun():
            self._hold(group)
        self._learning -= 1
        if not self._learning:
            self.holds_known.set()

    async def _read_holds(self) -> None:
        held = await patiently(lambda: self._database.read(use_cases.held, self._time.now()))
        for subscription_id in held.keys() & self.callbacks.keys():
            if (place := self.callbacks[subscription_id].place) is not None:
                self._holds.note(place, held[subscription_id], self._time.now())

    async def _tell_hold(self, subscription_id: SubscriptionId, until: datetime) -> None:
        await patiently(lambda: self._database.write(use_cases.tell_hold, subscription_id, until))

    def _hold(self, group: CallbackGroup) -> None:
        until = self._holds.until(group.place, self._time.now())
        if until is not None:
            self._lanes.hold(group.group_id, until)

    async def _disable(self, generations: Mapping[SubscriptionId, int]) -> None:
        await patiently(lambda: self._database.write(standings.disable, generations, self._clock.now()))

    def _begin_with(self, behind: Collection[SubscriptionId]) -> None:
        """Begin all groups, as at the start; those of the subscriptions `behind` read what the store has left."""
        self.groups.arrange({key: callback.place for key, callback in self.callbacks.items()})
        for group in self.groups.begin():
            # Early ones may be older than others that are in the backlog: all are read from the store, in order.
            if not group.subscription_ids.isdisjoint(behind):
                self._lanes.add_backlog(group.group_id)
                self._hold(group)

    def _hold_back_for_changes(self, subscription_ids: Iterable[SubscriptionId]) -> None:
        known = self.callbacks.keys() & set(subscription_ids)
        self._hold_back({key: self.callbacks[key].application_id for key in known})

    def hold_back_for_strangers(self, deliveries: Iterable[Delivery]) -> None:
        """Learn of subscriptions that are not known, before anything goes to their applications.

        They are new, and their news is on its way; or they have ended, and what another node has written just before is
        heard of only now.
        """
        strangers = {
            delivery.subscription_id: delivery.application_id
            for delivery in deliveries
            if delivery.subscription_id not in self.callbacks
        }
        if strangers:
            self._hold_back(strangers)
            self._changed |= strangers.keys()
            self._spawn(self._refresh())

    def _hold_back(self, unsettled: Mapping[SubscriptionId, ApplicationId]) -> None:
        """Send nothing new to the applications of these subscriptions until they have been read."""
        self._unsettled.update(unsettled)
        for group_id in self.groups.begun_of(set(unsettled.values())):
            self._lanes.pause(group_id)

    async def _refresh(self) -> None:
        """Learn where changed subscriptions are called now; the next attempt of each goes there."""
        async with self._refreshing:
            # All that a changed application has is known here only, where none of it is being read.
            applications, self._changed_applications = self._changed_applications, set()
            changed, self._changed = self._changed.union(self._subscriptions_of(applications)), set()
            if changed:
                found = await patiently(lambda: self._database.read(callbacks_of, changed, self._sealer))
                self._learn(changed, found)
        self._pump_soon()

    def _subscriptions_of(self, application_ids: Collection[ApplicationId]) -> list[SubscriptionId]:
        return [key for key, callback in self.callbacks.items() if callback.application_id in application_ids]

    def _learn(self, changed: set[SubscriptionId], found: Mapping[SubscriptionId, Callback]) -> None:
        trusted_anew, wanted_anew = [], []
        for subscription_id in sorted(changed):
            before, now = self.callbacks.pop(subscription_id, None), found.get(subscription_id)
            if now is None:
                self._spawn(self._discard(subscription_id))
                continue
            self.callbacks[subscription_id] = now
            if before is not None and (before.trust, before.headers) != (now.trust, now.headers):
                trusted_anew.append(subscription_id)
            if before is not None and before.generation != now.generation:
                wanted_anew.append(subscription_id)
        places = {key: found[key].place if key in found else None for key in sorted(changed)}
        for group_id in self.groups.arrange(places):
            self._lanes.drop_group(group_id)
            self._gone.forget(group_id)
        # What changed again during the reading was found as it was before: those just learnt of wait for the next one.
        self._hold_back_for_changes(self._changed)
        self.begin_groups()
        for group_id in self.groups.groups_of(trusted_anew):
            self._lanes.hasten(group_id, self._time.now())
        for group_id in self.groups.groups_of(wanted_anew):
            self._gone.begin_anew(group_id, self._clock.now())
        self._let_go(changed - self._changed)

    def begin_groups(self) -> None:
        """Begin the groups that need not wait any more: with all that the store has of them, due or not."""
        held = set(self._unsettled.values())
        for group in self.groups.begin():
            self._lanes.add_backlog(group.group_id)
            self._lanes.hasten(group.group_id, self._time.now())
            self._hold(group)
            if group.place.application_id in held:
                self._lanes.pause(group.group_id)

    def _let_go(self, settled: Iterable[SubscriptionId]) -> None:
        """Go on with the applications that waited for nothing but these."""
        applications = {self._unsettled.pop(key) for key in settled if key in self._unsettled}
        for group_id in self.groups.begun_of(applications - set(self._unsettled.values())):
            self._lanes.resume(group_id)

    async def _discard(self, subscription_id: SubscriptionId) -> None:
        deliveries, dead_letters, more = 0, 0, True
        while more:
            part = await patiently(lambda: self._database.write_behind(use_cases.discard_subscription, subscription_id))
            deliveries, dead_letters, more = deliveries + part.deliveries, dead_letters + part.dead_letters, part.more
        _log.info(
            "push.subscription_discarded",
            subscription_id=subscription_id,
            deliveries=deliveries,
            dead_letters=dead_letters,
        )
