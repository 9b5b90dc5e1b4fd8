"""One push from its body to its answer, written once: a generator that asks its driver to run the handlers.

It yields a `HandlerCall` for each; the driver runs it, goes on or throws in what came of it, and is handed the answer
at the end. The ASGI driver may await, the WSGI driver may block, and neither decides anything.
"""

import asyncio
import contextvars
import inspect
import logging
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from firmcast_sdk.events import device_of
from firmcast_sdk.receiver import answers
from firmcast_sdk.receiver.answers import Answer
from firmcast_sdk.receiver.delivery_store import DeliveryStore
from firmcast_sdk.receiver.reception import Push, ReceptionRules, receive
from firmcast_sdk.receiver.standing import Claim, PushKey, Standing

_log = logging.getLogger("firmcast_sdk.receiver")
_SHOWN_BODY = 200  # bytes of a body in the log


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerCall:
    """A handler and the one thing it is called with."""

    handler: Callable[[Any], object]
    argument: object


Steps = Generator[HandlerCall, None, Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a receiver treats each push; the ASGI and WSGI applications share one."""

    rules: ReceptionRules
    store: DeliveryStore | None
    repeat_replays: bool
    find_handlers: Callable[[Push], tuple[HandlerCall, ...]]
    clock: Callable[[], datetime]

    def steps(self, headers: Mapping[str, str], body: bytes) -> Steps:
        """The course of one push; yields the handlers to run, returns the answer."""
        push = receive(self.rules, headers=headers, body=body, now=self.clock())
        if isinstance(push, Answer):
            if push is answers.UNKNOWN_TYPE:
                _log.warning("a push of an unknown type was ignored: %r", body[:_SHOWN_BODY])
            return push
        calls = self.find_handlers(push)
        if not calls:
            return answers.NO_HANDLER
        facts = push.facts
        device_id = device_of(push.notification)
        numbered = device_id is not None and facts.sequence is not None
        if self.store is None or (facts.event_id is None and not numbered):
            return (yield from _handle(calls))
        claim = Claim(
            key=PushKey(event_id=facts.event_id, device_id=device_id, sequence=facts.sequence),
            token=uuid.uuid4().hex,
            repeat=facts.replay and self.repeat_replays,
        )
        return (yield from self._handle_once(self.store, claim, calls))

    def _handle_once(self, store: DeliveryStore, claim: Claim, calls: tuple[HandlerCall, ...]) -> Steps:
        try:
            standing = store.take(claim)
        except Exception:
            _log.exception("the delivery store failed for push %s", claim.key.event_id)
            return answers.STORE_FAILED
        match standing:
            case Standing.HANDLED:
                return answers.DUPLICATE
            case Standing.SUPERSEDED:
                # A warning: from a platform that was set back, every event of the device ends here.
                _log.warning("push came after a later one of its device and was not handled: %s", claim.key)
                return answers.SUPERSEDED
            case Standing.IN_FLIGHT:
                return answers.IN_FLIGHT
            case Standing.NEW:
                return (yield from self._handle_taken(store, claim, calls))
            case _:
                assert_never(standing)

    def _handle_taken(self, store: DeliveryStore, claim: Claim, calls: tuple[HandlerCall, ...]) -> Steps:
        kept = False
        try:
            answer = yield from _handle(calls)
            if answer is answers.ACCEPTED:
                store.keep(claim)
                kept = True
        except Exception:
            _log.exception("the delivery store failed for push %s", claim.key.event_id)
            answer = answers.STORE_FAILED
        finally:
            # Also when the server gives the request up: a device whose push nobody will finish must not stay taken.
            if not kept:
                _release(store, claim)
        return answer


def _release(store: DeliveryStore, claim: Claim) -> None:
    try:
        store.release(claim)
    except Exception:
        _log.exception("the delivery store failed for push %s", claim.key.event_id)


def _handle(calls: tuple[HandlerCall, ...]) -> Steps:
    for call in calls:
        try:
            yield call
        except Exception:
            _log.exception("the handler of a push failed")
            return answers.HANDLER_FAILED
    return answers.ACCEPTED


async def drive(steps: Steps) -> Answer:
    """Run `steps` on the event loop: coroutine functions are awaited, others run in a thread."""
    running: asyncio.Future[object] | None = None
    try:
        call = next(steps)
        while True:
            try:
                if inspect.iscoroutinefunction(call.handler):
                    await call.handler(call.argument)
                else:
                    running = _start(call)
                    await asyncio.wait([running])
                    if inspect.isawaitable(result := running.result()):
                        await result
            except BaseException as error:
                if running is not None and not running.done():
                    raise
                call = steps.throw(_failure(error))
            else:
                call = next(steps)
    except StopIteration as end:
        return _answer(end)
    finally:
        if running is None or running.done():
            steps.close()
        else:
            # The request was given up, but a thread cannot be stopped: its device stays taken until it ends.
            running.add_done_callback(lambda ended: _end_late(steps, ended))


def _start(call: HandlerCall) -> asyncio.Future[object]:
    return asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, _call, call)


def _end_late(steps: Steps, ended: asyncio.Future[object]) -> None:
    """Go on with what a thread's handler came to after its request was given up; nothing more is run."""
    error = ended.exception()
    with suppress(StopIteration):
        if isinstance(error, Exception):
            steps.throw(error)
        elif error is None and not inspect.isawaitable(result := ended.result()):
            next(steps)
        elif error is None and inspect.iscoroutine(result):
            result.close()
    steps.close()


def _failure(error: BaseException) -> BaseException:
    """What a handler's `error` is to its push: a cancelling that nobody asked this task for is the handler's own."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and not (task is not None and task.cancelling()):
        return _cancelled_itself(error)
    return error


def _cancelled_itself(error: asyncio.CancelledError) -> Exception:
    failure = RuntimeError("the handler waited for something that was cancelled")
    failure.__cause__ = error
    return failure


def drive_blocking(steps: Steps) -> Answer:
    """Run `steps` in this thread: what a handler leaves to be awaited runs on a loop of its own."""
    try:
        call = next(steps)
        while True:
            try:
                result = _call(call)
                if inspect.isawaitable(result):
                    asyncio.run(_wait_for(result))
            except asyncio.CancelledError as error:
                call = steps.throw(_cancelled_itself(error))
            except BaseException as error:
                call = steps.throw(error)
            else:
                call = next(steps)
    except StopIteration as end:
        return _answer(end)
    finally:
        steps.close()


def _call(call: HandlerCall) -> object:
    try:
        return call.handler(call.argument)
    except StopIteration as error:
        # A future cannot carry it: whoever waits would wait for ever.
        raise RuntimeError("the handler ran out of an iterator") from error


async def _wait_for(result: Any) -> None:
    await result


def _answer(end: StopIteration) -> Answer:
    answer = end.value
    assert isinstance(answer, Answer)
    return answer
