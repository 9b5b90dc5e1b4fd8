"""How a client behaves is learnt from what is noted of it: the same notes always teach the same.

Each rule looks for one sequence that real clients are known to differ in; what was not seen is not guessed.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from firmcast.journal.model import Decision, Exchange, ExchangeKind, Note, Transfer
from firmcast.lwm2m.firmware_update import (
    ResetWay,
    TransferWay,
    UpdateResult,
    is_failure,
    parse_result,
)
from firmcast.profiles.model import (
    NO_ANSWER,
    NO_PROFILE,
    ClientProfile,
    Findings,
    SeenSilence,
    SeenWay,
    Shown,
    Traits,
    WayVerdict,
    combined,
    is_another_client,
    shown_later,
    way_in,
    without_ways_before,
)

_OBJECT: Final = "/5/0"
_ADDRESS: Final = "/5/0/1"
_STATE: Final = "/5/0/3"
_RESULT: Final = "/5/0/5"
_VERSION: Final = "/3/0/3"
_LARGEST_BLOCK: Final = 1024
"""Of CoAP; what is fetched by HTTP comes in other pieces."""

_SCHEMES: Final = frozenset(way.value for way in TransferWay if way is not TransferWay.WRITTEN)
_REFUSING: Final = ("4.02", "4.04", "4.05", "4.06", "4.15", "5.01")
"""Answers of an Idle device that say that it knows no such thing; others may be about this package or this moment."""

_UNANSWERED: Final = ("no answer", "the device fell asleep")
"""How the failure of an exchange begins that the device may have heard of; others were given up here."""

_IDLE, _DOWNLOADING, _DOWNLOADED = 0, 1, 2


def learned(notes: Sequence[Note], known: ClientProfile = NO_PROFILE) -> ClientProfile:
    """Return what these notes of one device, the oldest first, teach about its client beside what is known.

    When it turns out to have another client, what it did with packages until then is no matter.
    """
    lesson = _Lesson(known)
    for note in notes:
        lesson.hear(note)
    return ClientProfile(shown=lesson.shown, traits=lesson.traits, ways_since=lesson.ways_since)


def found_out(findings: Findings, at: datetime) -> ClientProfile:
    """Return what a check teaches that ended at a time."""
    answered = bool(findings.formats) and not findings.failure and not findings.is_absent
    told = findings.told
    shown = Shown(
        manufacturer=told.get("/3/0/0", ""),
        model=told.get("/3/0/1", ""),
        version=told.get(_VERSION, ""),
        was_asked=bool(findings.formats) and not findings.failure,
    )
    method = told.get("/5/0/9", "")
    traits = Traits(
        read_format=findings.read_format,
        refuses_objects=findings.read_format is None if answered else None,
        silence=_silence_found(findings, at),
        observes=findings.observed if findings.observe else None,
        cancels=10 in findings.resources if findings.resources else None,
        resources=findings.resources,
        delivery_method=int(method) if method.isdigit() else None,
    )
    return ClientProfile(shown=shown, traits=traits)


def _silence_found(findings: Findings, at: datetime) -> SeenSilence | None:
    if NO_ANSWER in findings.formats.values():
        tells = any(path.startswith(f"{_OBJECT}/") for path in findings.told)
        return SeenSilence(True, at) if tells else None
    return None if findings.read_format is None else SeenSilence(False, at)


class _Lesson:
    """What was learnt so far, and what was last seen of the device."""

    def __init__(self, known: ClientProfile) -> None:
        self.shown = Shown()
        self.traits = Traits()
        self.ways_since = known.ways_since
        self._client = known.shown
        self._at = datetime.min.replace(tzinfo=UTC)
        self._result: int | None = None
        self._shown_downloading_at: datetime | None = None
        self._state_read: int | None = None
        self._object_unanswered = False
        self._was_silent = known.traits.silence is not None and known.traits.silence.is_silent
        self._tried: ResetWay | None = None
        self._tried_in: int | None = None
        # Of a package that it was sent: in which way, and with which result before; or what it answered instead.
        self._sent = ""
        self._result_when_sent: int | None = None
        self._refused: tuple[str, str] | None = None
        self._told_after_refusal: dict[str, int] = {}
        # Of an installation: when it was ordered, by which firmware, and what was seen since.
        self._executed = False
        self._registered = False
        self._version_before = ""
        self._baseline: int | None = None
        self._state_since: int | None = None
        self._result_since: int | None = None

    def hear(self, note: Note) -> None:
        self._at = note.occurred_at
        match note.what:
            case Transfer(way="uri", block=block) if 0 < block <= _LARGEST_BLOCK:
                largest = max(block, self.traits.largest_block or 0)
                self._learn(largest_block=largest)
            case Exchange() as exchange:
                self._exchange(exchange, note.occurred_at)
            case Decision(way_given_up=way, was_left=True):
                self._see(way, WayVerdict.LEAVES)
            case _:
                pass

    def _learn(self, **said: Any) -> None:
        self.traits = combined(self.traits, Traits(**said))

    def _see(self, way: str, did: WayVerdict) -> None:
        if self.ways_since is None or self._at > self.ways_since:
            self._learn(ways={way: SeenWay(did, self._at)})

    def _exchange(self, exchange: Exchange, at: datetime) -> None:
        succeeded = exchange.answer.startswith("2.")
        match exchange.kind:
            case ExchangeKind.READ:
                self._read(exchange, succeeded=succeeded)
            case ExchangeKind.OBSERVE if exchange.answer and exchange.path == _STATE:
                self._learn(observes=succeeded)
            case ExchangeKind.WRITE | ExchangeKind.EXECUTE:
                self._order(exchange, at, succeeded=succeeded)
            case ExchangeKind.REGISTER:
                self._registered = True
            case _:
                pass
        self._values(exchange, at)

    def _read(self, exchange: Exchange, *, succeeded: bool) -> None:
        if exchange.path == _OBJECT and succeeded and exchange.told and exchange.format is not None:
            self._learn(read_format=exchange.format, refuses_objects=False)
            self._hear_of_silence(False)
        elif exchange.path == _OBJECT:
            self._object_unanswered = exchange.failure.startswith(_UNANSWERED)
        elif exchange.answer and self._object_unanswered and exchange.path == _ADDRESS:
            # It is read only of who is read resource by resource.
            self._hear_of_silence(True)
        if exchange.path == "/3/0/0" and exchange.answer:
            self.shown = msgspec.structs.replace(self.shown, was_asked=True)

    def _hear_of_silence(self, is_silent: bool) -> None:
        """An answer is news only after silence: most clients always give one."""
        self._object_unanswered = False
        if (is_silent or self._was_silent) and (self.ways_since is None or self._at > self.ways_since):
            self._was_silent = is_silent
            self._learn(silence=SeenSilence(is_silent, self._at))

    def _order(self, exchange: Exchange, at: datetime, *, succeeded: bool) -> None:
        way = _reset_way(exchange)
        if way is not None and exchange.order == "reset":
            self._tried, self._tried_in = way, self._state_read
        # One that knows Cancel may refuse it for its state, with 4.05.
        if exchange.path == "/5/0/10" and (succeeded or exchange.answer == "4.04"):
            self._learn(cancels=succeeded)
        sent = _transfer_way(exchange)
        if sent is not None and exchange.answer:
            self._take_or_refuse(sent, exchange.answer, succeeded=succeeded)
        if exchange.path == "/5/0/0" and way is None and succeeded:
            began = at - timedelta(seconds=exchange.seconds)
            seen = self._shown_downloading_at
            self._learn(shows_downloading_when_written=seen is not None and seen >= began)
        if exchange.path == "/5/0/2" and succeeded:
            self._executed, self._registered = True, False
            self._version_before = self.shown.version
            self._baseline = self._result
            self._state_since = self._result_since = None

    def _take_or_refuse(self, way: str, answer: str, *, succeeded: bool) -> None:
        self._sent = way if succeeded else ""
        self._result_when_sent = self._result
        self._refused = None if succeeded else (way, answer)
        self._told_after_refusal = {}
        if succeeded and way == TransferWay.WRITTEN.value:
            self._see(way, WayVerdict.TAKES)

    def _judge_way(self, state: int | None, result: int | None) -> None:
        """An address that was taken is judged by what comes of it; a refusal by state and result read after it."""
        if self._sent in _SCHEMES:
            if state == _DOWNLOADED:
                self._see(self._sent, WayVerdict.TAKES)
            if result == UpdateResult.UNSUPPORTED_PROTOCOL != self._result_when_sent:
                self._see(self._sent, WayVerdict.REFUSES)
        if self._refused is None:
            return
        told = {"state": state, "result": result}
        self._told_after_refusal.update({name: value for name, value in told.items() if value is not None})
        if len(self._told_after_refusal) < len(told):
            return
        way, answer = self._refused
        says_so = answer in _REFUSING or self._told_after_refusal["result"] == UpdateResult.UNSUPPORTED_PROTOCOL
        if self._told_after_refusal["state"] == _IDLE and says_so:
            self._see(way, WayVerdict.REFUSES)
        self._refused = None

    def _values(self, exchange: Exchange, at: datetime) -> None:
        if exchange.kind in (ExchangeKind.WRITE, ExchangeKind.REGISTER, ExchangeKind.UPDATE):
            return
        told = exchange.told
        self._identity(told)
        state, result = _number(told, _STATE), _number(told, _RESULT)
        if _number(told, "/5/0/9") is not None:
            self._learn(delivery_method=_number(told, "/5/0/9"))
        self._judge_way(state, result)
        if state is not None:
            self._state_since = state
            if state == _DOWNLOADING:
                self._shown_downloading_at = at
            self._judge_reset(exchange, state)
        if result is not None:
            self._result = self._result_since = result
            if result == UpdateResult.DEFERRED:
                self._learn(defers=True)
        if self._executed:
            self._judge_installation(exchange, state)

    def _identity(self, told: Mapping[str, str]) -> None:
        names = {"manufacturer": "/3/0/0", "model": "/3/0/1", "version": _VERSION}
        said = {field: told[path] for field, path in names.items() if told.get(path)}
        if said:
            self.shown = msgspec.structs.replace(self.shown, **said)
            self._look_whether_it_is_another()

    def _look_whether_it_is_another(self) -> None:
        client = shown_later(self._client, self.shown)
        if is_another_client(self._client, client):
            self.ways_since = self._at if self.ways_since is None else max(self.ways_since, self._at)
            self.traits = without_ways_before(self.traits, self.ways_since)
        self._client = client

    def _judge_reset(self, exchange: Exchange, state: int) -> None:
        """A try is judged by the reads before and after it, as the order judges it; from Idle nothing is learnt.

        What is notified may come before the answer to the try.
        """
        if exchange.kind is not ExchangeKind.READ:
            return
        self._state_read = state
        if self._tried is None:
            return
        if self._tried_in in (_DOWNLOADING, _DOWNLOADED):
            named = way_in(self._tried_in, self._tried)
            if state == _IDLE:
                self._learn(resets_by=(named,))
            elif state == self._tried_in:
                self._learn(resets_not_by=(named,))
        self._tried = None

    def _judge_installation(self, exchange: Exchange, state: int | None) -> None:
        if state == _IDLE and exchange.kind is ExchangeKind.NOTIFICATION and not self._registered:
            self._learn(notifies_end=True)
        if self._state_since in (_IDLE, _DOWNLOADED) and self._result_since is not None:
            self._judge_end(self._state_since, self._result_since)

    def _judge_end(self, state: int, result: int) -> None:
        if is_failure(parse_result(result)):
            if result == self._baseline:
                return  # It may be what it told before.
            self._learn(failed_install_returns_to=state)
            self._executed = False
            return
        if state != _IDLE:
            return
        if result == UpdateResult.SUCCESS:
            if self._registered:
                self._learn(forgets_state=False)
            self._executed = False
        elif self._registered and self._version_before and self.shown.version != self._version_before:
            self._learn(forgets_state=True)
            self._executed = False
        if self._registered and self.traits.notifies_end is None and not self._executed:
            self._learn(notifies_end=False)


def _reset_way(exchange: Exchange) -> ResetWay | None:
    """Return which way back to Idle an exchange tries; None for none."""
    if exchange.kind is ExchangeKind.EXECUTE:
        return ResetWay.CANCEL if exchange.path == "/5/0/10" else None
    if exchange.path == "/5/0/1":
        return ResetWay.FORGET_ADDRESS if exchange.told.get("/5/0/1") == "" else None
    if exchange.path == "/5/0/0":
        return ResetWay.FORGET_PACKAGE if exchange.told.get("/5/0/0") in ("0 bytes", "1 bytes") else None
    return None


def _transfer_way(exchange: Exchange) -> str | None:
    """Return in which way an exchange sends a package; None where it sends none."""
    if exchange.path == "/5/0/0" and exchange.order == "transfer_by_write":
        return TransferWay.WRITTEN.value
    scheme, separator, _ = exchange.told.get("/5/0/1", "").partition("://")
    is_address = exchange.path == "/5/0/1" and exchange.order == "transfer_by_uri"
    return scheme if is_address and separator and scheme in _SCHEMES else None


def _number(told: Mapping[str, str], path: str) -> int | None:
    text = told.get(path, "")
    return int(text) if text.removeprefix("-").isdecimal() and text.isascii() else None
