"""What must hold of everything that was acknowledged, written, and received, whatever has happened in between."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

Lane = tuple[str, str]
"""(path of the callback, device)"""

CLOCK_TOLERANCE = 5
"""Seconds between the time that an attempt is signed with and its arrival."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that a callback got; the fields are those of the receiver's record, in its order."""

    path: str
    device: str
    sequence: int
    attempt: int
    message_id: str
    timestamp: int
    signed_with: Sequence[int]
    """Which of the path's secrets have signed it, by their places."""

    digest: str
    """Of the body."""

    received_at: float
    occurred_at: str
    status: int
    """What it was answered with; 0 when it got no answer."""

    replay: str
    in_flight: int
    """Requests at the path that were not answered when it came."""

    @property
    def lane(self) -> Lane:
        return self.path, self.device

    @property
    def latency(self) -> float:
        """Seconds from when the event happened, just before its commit, to its arrival."""
        return self.received_at - datetime.fromisoformat(self.occurred_at).timestamp()

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Written:
    """An event in the log."""

    event_id: int
    device: str
    sequence: int
    message_id: str
    event_type: str


@dataclass(slots=True)
class Findings:
    """What was found; everything but the counts must be empty."""

    lost: list[tuple[Lane, int]] = field(default_factory=list)
    """Events that a callback wanted and never got."""

    forgotten: list[str] = field(default_factory=list)
    """Message ids that were acknowledged and are not in the log."""

    overtaken: list[tuple[Lane, list[int]]] = field(default_factory=list)
    """Lanes whose first arrivals are not in the order of the log."""

    holes: list[str] = field(default_factory=list)
    """Devices whose numbers have a gap in the log."""

    unsigned: list[Arrival] = field(default_factory=list)
    stale: list[Arrival] = field(default_factory=list)
    """Signed with another time than that of the attempt."""

    unlike: list[str] = field(default_factory=list)
    """Message ids whose arrivals differ in their bodies, devices or numbers."""

    strangers: list[Arrival] = field(default_factory=list)
    """Arrivals of what the log does not hold, or that nobody there asked for."""

    duplicates: int = 0
    arrivals: int = 0

    def assert_none(self, *, but: str = "") -> None:
        """Fail with what is wrong, each by its first examples; `but` names what the test looks at itself."""
        wrong = {
            name: (len(found), found[:3])
            for name in ("lost", "forgotten", "overtaken", "holes", "unsigned", "stale", "unlike", "strangers")
            if name != but and (found := getattr(self, name))
        }
        assert not wrong, wrong


def judge(
    arrivals: Sequence[Arrival],
    log: Sequence[Written],
    wanted: Mapping[str, str],
    acknowledged: Iterable[str] = (),
    *,
    excused: Iterable[tuple[Lane, int]] = (),
) -> Findings:
    """Compare what came with what was to come.

    Args:
        arrivals: everything that came, in that order.
        log: every event, in the order of the log.
        wanted: the event type that each path of a callback is subscribed to.
        acknowledged: message ids whose commit the writer was told of.
        excused: what need not have arrived, such as dead letters.
    """
    found = Findings(arrivals=len(arrivals))
    in_log = {event.message_id for event in log}
    found.forgotten = [message_id for message_id in acknowledged if message_id not in in_log]
    found.holes = _holes(log)
    _compare_lanes(found, arrivals, log, wanted, set(excused))
    by_message: defaultdict[tuple[str, str], list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        by_message[arrival.path, arrival.message_id].append(arrival)
        if not arrival.signed_with:
            found.unsigned.append(arrival)
        elif abs(arrival.received_at - arrival.timestamp) > CLOCK_TOLERANCE:
            found.stale.append(arrival)
    found.unlike = [
        message_id
        for (_, message_id), same in by_message.items()
        if len({(it.digest, it.device, it.sequence) for it in same}) > 1
    ]
    found.duplicates = sum(repeats(arrivals).values())
    return found


def _compare_lanes(
    found: Findings,
    arrivals: Sequence[Arrival],
    log: Sequence[Written],
    wanted: Mapping[str, str],
    excused: set[tuple[Lane, int]],
) -> None:
    paths = {event_type: path for path, event_type in wanted.items()}
    due: defaultdict[Lane, list[int]] = defaultdict(list)
    identities = {}
    for event in log:
        if event.event_type in paths:
            lane = paths[event.event_type], event.device
            due[lane].append(event.sequence)
            identities[lane, event.sequence] = event.message_id
    accepted = first_arrivals(arrival for arrival in arrivals if arrival.accepted)
    for lane, sequences in due.items():
        came = accepted.get(lane, [])
        known = set(came)
        found.lost += [(lane, number) for number in sequences if number not in known and (lane, number) not in excused]
    found.strangers = [it for it in arrivals if identities.get((it.lane, it.sequence)) != it.message_id]
    # Neither may anything be sent before what precedes it, nor be accepted before it.
    for lane, sequences in [*first_arrivals(arrivals).items(), *accepted.items()]:
        if sequences != sorted(sequences):
            found.overtaken.append((lane, sequences))


def first_arrivals(arrivals: Iterable[Arrival]) -> dict[Lane, list[int]]:
    """Return the numbers of each lane in the order in which they came first."""
    lanes: dict[Lane, dict[int, None]] = {}
    for arrival in arrivals:
        lanes.setdefault(arrival.lane, {}).setdefault(arrival.sequence)
    return {lane: list(sequences) for lane, sequences in lanes.items()}


def repeats(arrivals: Iterable[Arrival]) -> Counter[tuple[str, str]]:
    """Return how often more than needed (path, message id) was accepted; what was refused had to come again."""
    counts = Counter((it.path, it.message_id) for it in arrivals if it.accepted)
    return Counter({key: count - 1 for key, count in counts.items() if count > 1})


def _holes(log: Sequence[Written]) -> list[str]:
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for event in log:
        numbers[event.device].append(event.sequence)
    return [device for device, found in numbers.items() if found != list(range(1, len(found) + 1))]


def percentile(values: Iterable[float], portion: float) -> float:
    """Return the value below which a portion (0 to 1) of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(portion * len(ordered)))]
