"""The keeper keeps this node alive and its shares known: it renews, looks, takes and gives back, many times a life.

What it says is good until a moment of this machine's steady clock, counted from the beginning of the last renewal that
came through, so always before the database lets others think that the node has gone. A node that was given up begins
another life under a new name and has nothing of the old one; if what is demanded of nodes has changed since, it ends.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from datetime import timedelta
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

import structlog

from firmcast.clock import Clock
from firmcast.db.port import Transaction
from firmcast.errors import StartError, StoreError
from firmcast.ids import GatewayId, new_node_id
from firmcast.nodes import use_cases
from firmcast.nodes.model import Epoch, Lease, Node, Share
from firmcast.nodes.sharing_out import plan
from firmcast.settings import Role

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_log = structlog.get_logger()
_LOOKS_IN_A_LIFE: Final = 10
_SAFETY_SHARE: Final = 10
"""This part of a life is not made use of."""


class UrgentDatabase(Protocol):
    """A store that takes small writes before all others."""

    async def write_urgently(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Run a use case, read committed."""
        ...


class ShareListener(Protocol):
    """Who does the work of shares."""

    def gained(self, shares: Collection[Share]) -> None:
        """Begin with shares that are ours from now on."""

    def give_back(self, shares: Collection[Share]) -> None:
        """Finish shares that others should have, and release them then; may be said again."""

    def lost(self) -> None:
        """Stop at once: nothing is ours any more."""


class Keeper:
    """The life of this node."""

    def __init__(
        self,
        *,
        database: UrgentDatabase,
        clock: Clock,
        name: str,
        roles: frozenset[Role],
        life: timedelta,
        gateway_id: GatewayId | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._life = life
        self._name = name
        self._roles = roles
        self._gateway_id = gateway_id
        self._listeners: list[ShareListener] = []
        self._held: dict[Share, Epoch] = {}
        self._good_until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._changing = asyncio.Lock()
        """Held while shares come or go, so that what was seen of them before is not believed after."""
        self.demand: Callable[[Transaction], Coroutine[Any, Any, None]] | None = None
        """What must hold for a life to begin, asked in the same transaction; it raises StartError."""
        self.refused = asyncio.Event()
        """Set when a further life was refused: the process must end."""
        self.node_id = new_node_id()
        self.nodes_alive = 0
        """How many nodes there were at the last look, this one included."""
        self.lives_lost = 0
        """How often the others have given this node up, or it had to expect so."""

    def listen(self, listener: ShareListener) -> None:
        """Tell `listener` of every change."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Begin to live.

        Raises:
            StartError: what is demanded does not hold.
            StoreError: the database does not take it.
        """
        await self._begin()
        self._task = asyncio.create_task(self._run(), name="node-keeper")

    async def stop(self) -> None:
        """End; what this node still has is free at once."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        if self._expiry is not None:
            self._expiry.cancel()
        self._held.clear()
        try:
            await self._database.write_urgently(use_cases.end, self.node_id)
        except StoreError as error:
            _log.warning("node.not_signed_off", reason=str(error))

    async def retire(self) -> None:
        """Take nothing any more, and have all be given back that others can do, each when it is finished."""
        self._roles = frozenset()
        try:
            await self._database.write_urgently(use_cases.retire, self.node_id)
            await self._look()
        except StoreError as error:
            _log.warning("node.not_retired", reason=str(error))  # it goes with the end of this node then

    def epoch_of(self, share: Share) -> Epoch | None:
        """Return the epoch under which a share is ours now; None when it is not."""
        if self._clock.monotonic() >= self._good_until:
            return None
        return self._held.get(share)

    @property
    def shares_held(self) -> int:
        """How many shares are ours now."""
        return len(self._held) if self.is_alive else 0

    @property
    def is_alive(self) -> bool:
        """Whether nobody can have given this node up."""
        return self._clock.monotonic() < self._good_until

    async def still_held(
        self, tx: Transaction, claimed: Collection[tuple[Share, Epoch]]
    ) -> frozenset[tuple[Share, Epoch]]:
        """Return which of these may still be written for, within a write; see the use case."""
        return await use_cases.still_held(tx, self.node_id, claimed)

    async def release(self, shares: Collection[Share]) -> None:
        """Give back shares whose work is finished."""
        async with self._changing:
            mine = [share for share in shares if self._held.pop(share, None) is not None]
            try:
                await self._database.write_urgently(use_cases.release, self.node_id, mine)
            except StoreError as error:
                _log.warning("node.shares_not_released", reason=str(error))  # they are lost with this life then
                self._lose()
            else:
                _log.info("node.shares_released", shares=len(mine))

    # ------------------------------------------------------------------ inside

    async def _run(self) -> None:
        pause = self._life.total_seconds() / _LOOKS_IN_A_LIFE
        while True:
            await asyncio.sleep(pause)
            try:
                await self._keep()
            except StoreError as error:
                _log.warning("node.not_renewed", reason=str(error))
            except StartError as error:
                _log.error("node.refused", reason=str(error))
                self.refused.set()
                return
            except Exception as error:  # whatever it is, who does not try again is given up and never comes back
                _log.error("node.not_renewed", error=repr(error), exc_info=error)

    async def _begin(self) -> None:
        self.node_id = new_node_id()
        node = Node(node_id=self.node_id, name=self._name, roles=self._roles, gateway_id=self._gateway_id)
        began = self._clock.monotonic()
        await self._database.write_urgently(self._begin_life, node)
        self._is_good_from(began)
        await self._look()

    async def _begin_life(self, tx: Transaction, node: Node) -> None:
        await use_cases.begin(tx, node, self._life)
        if self.demand is not None:
            # After it: whoever keeps nodes from beginning has committed by then what they have to fulfil.
            await self.demand(tx)

    async def _keep(self) -> None:
        if not self.is_alive:
            self._lose()
            await self._begin()
            return
        began = self._clock.monotonic()
        if not await self._database.write_urgently(use_cases.renew, self.node_id, self._life):
            self._lose()
            await self._begin()
            return
        self._expire()  # who has seen that nothing was ours must hear that it was lost, though it is ours again
        self._is_good_from(began)
        await self._look()

    async def _look(self) -> None:
        async with self._changing:
            await self._look_alone()

    async def _look_alone(self) -> None:
        standing, given_up = await self._database.write_urgently(use_cases.look)
        for name in given_up:
            _log.warning("node.given_up", name=name)
        self.nodes_alive = len(standing.nodes)
        if self.node_id not in standing.nodes:
            return  # the next renewal finds out
        if any(standing.leases.get(share) != self._lease(epoch) for share, epoch in self._held.items()):
            _log.error("node.shares_taken", reason="another node has what is this one's")
            self._lose()
            return
        # What was claimed by a write whose answer never came is ours all the same.
        unheard = {share: it.epoch for share, it in standing.leases.items() if it.node_id == self.node_id}
        self._take({share: epoch for share, epoch in unheard.items() if share not in self._held})
        what = plan(standing, self.node_id)
        if what.claims:
            self._take(await self._database.write_urgently(use_cases.claim, self.node_id, what.claims))
        if what.surplus and self._held:
            self._tell_all(lambda listener: listener.give_back(what.surplus))

    def _lease(self, epoch: Epoch) -> Lease:
        return Lease(node_id=self.node_id, epoch=epoch)

    def _take(self, got: Mapping[Share, Epoch]) -> None:
        if not got:
            return
        self._held.update(got)
        _log.info("node.shares_gained", shares=len(got))
        self._tell_all(lambda listener: listener.gained(got.keys()))

    def _lose(self) -> None:
        self._good_until = 0.0
        if self._held:
            _log.warning("node.lost", shares=len(self._held))
            self.lives_lost += 1
            self._held.clear()
            self._tell_all(lambda listener: listener.lost())

    def _is_good_from(self, began: float) -> None:
        seconds = self._life.total_seconds()
        self._good_until = began + seconds - seconds / _SAFETY_SHARE
        if self._expiry is not None:
            self._expiry.cancel()
        delay = self._good_until - self._clock.monotonic()
        self._expiry = asyncio.get_running_loop().call_later(max(0.0, delay), self._expire)

    def _expire(self) -> None:
        if not self.is_alive:
            self._lose()

    def _tell_all(self, tell: Callable[[ShareListener], None]) -> None:
        for listener in list(self._listeners):
            tell(listener)
