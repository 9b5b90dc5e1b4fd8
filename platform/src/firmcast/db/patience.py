"""A store that cannot do it now is asked again for as long as it takes; whoever cannot wait does not ask so."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from firmcast.errors import StoreFullError, StoreUnreachableError

Result = TypeVar("Result")

_log = structlog.get_logger()
_SHORTEST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0


async def patiently(ask: Callable[[], Awaitable[Result]]) -> Result:
    """Return what `ask` returns, once the store is there and has room for it."""
    longest = _SHORTEST_PAUSE
    while True:
        try:
            return await ask()
        except StoreUnreachableError as error:
            _log.warning("store.unreachable", reason=str(error))
        except StoreFullError as error:
            _log.error("store.full", reason=str(error))
        await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 -- no secret
        longest = min(_LONGEST_PAUSE, 2 * longest)
