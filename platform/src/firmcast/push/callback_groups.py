"""Subscriptions of one application with one callback URL are one group: what it is told of a device is one lane.

A group never changes. When a subscription comes, moves or goes, the groups concerned end, and others take their place
under new numbers. A group begins when no attempt of an ended one is under way that it might overtake: to the same
callback, or of one of its own subscriptions. Until then its deliveries stay in the store.

An application has one subscription for each type of event, and an event has one type: so a group has each event once.
"""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from firmcast.ids import ApplicationId, SubscriptionId
from firmcast.push.model import GroupId


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """Where subscriptions are called: what those of one group have in common."""

    application_id: ApplicationId
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackGroup:
    """Subscriptions that are called at one place; its id is never used again."""

    group_id: GroupId
    place: Place
    subscription_ids: frozenset[SubscriptionId]

    def may_overtake(self, ended: "CallbackGroup") -> bool:
        """Say whether an attempt of this group could pass by one of `ended` that is under way."""
        return self.place == ended.place or not self.subscription_ids.isdisjoint(ended.subscription_ids)


class CallbackGroups:
    """Which groups there are, which of them have begun, and which ended ones still have attempts under way."""

    def __init__(self) -> None:
        """Start without subscriptions."""
        self._numbers = itertools.count(1)
        self._places: dict[SubscriptionId, Place] = {}
        self._members: dict[Place, set[SubscriptionId]] = {}
        self._standing: dict[Place, CallbackGroup] = {}
        self._waiting: dict[Place, CallbackGroup] = {}
        self._begun: dict[GroupId, CallbackGroup] = {}
        self._begun_of: dict[SubscriptionId, GroupId] = {}
        self._ended: dict[GroupId, CallbackGroup] = {}
        self._under_way: Counter[GroupId] = Counter()

    def arrange(self, places: Mapping[SubscriptionId, Place | None]) -> list[GroupId]:
        """Take note of where subscriptions are called now, None for one that is no more.

        Returns:
            The groups that had begun and have ended by it.
        """
        touched: set[Place] = set()
        for subscription_id, place in places.items():
            before = self._places.pop(subscription_id, None)
            if place is not None:
                self._places[subscription_id] = place
            if place != before:
                touched |= {it for it in (before, place) if it is not None}
                self._move(subscription_id, before, place)
        ended = [self._end(place) for place in sorted(touched)]
        for place in sorted(touched):
            self._make(place)
        return [group_id for group_id in ended if group_id is not None]

    def begin(self) -> list[CallbackGroup]:
        """Return the groups that begin now: from here on they have their deliveries."""
        begun = []
        for group in list(self._waiting.values()):
            if not any(group.may_overtake(ended) for ended in self._ended.values()):
                del self._waiting[group.place]
                self._begun[group.group_id] = group
                self._begun_of.update(dict.fromkeys(group.subscription_ids, group.group_id))
                begun.append(group)
        return begun

    def attempt_begins(self, group_id: GroupId) -> None:
        """Take note that an attempt of a group is under way."""
        self._under_way[group_id] += 1

    def attempt_ended(self, group_id: GroupId) -> bool:
        """Take note that an attempt is over; return whether a group that waits may begin by it."""
        self._under_way[group_id] -= 1
        if self._under_way[group_id]:
            return False
        del self._under_way[group_id]
        return self._ended.pop(group_id, None) is not None

    def group_of(self, subscription_id: SubscriptionId) -> GroupId | None:
        """Return the group that a subscription's deliveries go to; None while it has none that has begun."""
        return self._begun_of.get(subscription_id)

    def groups_of(self, subscription_ids: Iterable[SubscriptionId]) -> list[GroupId]:
        """Return the groups that have begun of these subscriptions, each once."""
        return sorted({self._begun_of[key] for key in subscription_ids if key in self._begun_of})

    def subscriptions_of(self, group_id: GroupId) -> frozenset[SubscriptionId]:
        """Return the subscriptions of a group that has begun; none when it has ended."""
        group = self._begun.get(group_id)
        return frozenset() if group is None else group.subscription_ids

    def all_begun(self) -> list[GroupId]:
        """Return the groups that have begun and have not ended."""
        return list(self._begun)

    def groups_begun(self) -> list[CallbackGroup]:
        """Return them with where they are called."""
        return list(self._begun.values())

    def application_of(self, group_id: GroupId) -> ApplicationId:
        """Return whose a group is that has begun.

        Raises:
            KeyError: it has not begun, or has ended.
        """
        return self._begun[group_id].place.application_id

    def begun_of(self, application_ids: Collection[ApplicationId]) -> list[GroupId]:
        """Return the groups of applications that have begun, in the order in which they did."""
        return [it.group_id for it in self._begun.values() if it.place.application_id in application_ids]

    def _move(self, subscription_id: SubscriptionId, before: Place | None, now: Place | None) -> None:
        if before is not None:
            self._members[before].remove(subscription_id)
            if not self._members[before]:
                del self._members[before]
        if now is not None:
            self._members.setdefault(now, set()).add(subscription_id)

    def _end(self, place: Place) -> GroupId | None:
        group = self._standing.pop(place, None)
        if group is None or self._waiting.pop(place, None) is not None:
            return None
        del self._begun[group.group_id]
        for subscription_id in group.subscription_ids:
            del self._begun_of[subscription_id]
        if group.group_id in self._under_way:
            self._ended[group.group_id] = group
        return group.group_id

    def _make(self, place: Place) -> None:
        members = self._members.get(place)
        if members:
            group = CallbackGroup(
                group_id=GroupId(next(self._numbers)), place=place, subscription_ids=frozenset(members)
            )
            self._standing[place] = self._waiting[place] = group
