"""What is noted of a client teaches how it behaves, one trait for each sequence that clients are known to differ in."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from firmcast.journal.model import Decision, Exchange, ExchangeKind, Note, Transfer
from firmcast.lwm2m.firmware_update import ResetWay, TransferWay
from firmcast.profiles.driving import DriverChoices, choices_of
from firmcast.profiles.learning import found_out, learned
from firmcast.profiles.model import (
    NO_ANSWER,
    ClientProfile,
    Findings,
    KnownClient,
    SeenSilence,
    SeenWay,
    Shown,
    Traits,
    WayVerdict,
    combined,
    firmware_family,
    is_another_client,
    shown_later,
    taught_by,
)
from firmcast.profiles.recognition import expected_of
from firmcast.profiles.report import Mark, report

MONTH = timedelta(days=30)
START = datetime(2026, 1, 1, tzinfo=UTC)
STATE, RESULT, VERSION = "/5/0/3", "/5/0/5", "/3/0/3"


def read(path: str, *, order: str = "", number: int | None = None, answer: str = "2.05", **told: str) -> Exchange:
    values = {{"state": STATE, "result": RESULT, "version": VERSION}[name]: value for name, value in told.items()}
    return Exchange(
        kind=ExchangeKind.READ, path=path, told=values, answer=answer, order=order, format=number, seconds=0.1
    )


def unanswered(path: str, failure: str = "no answer from the device: asked three times or more") -> Exchange:
    return Exchange(kind=ExchangeKind.READ, path=path, failure=failure, seconds=14.0)


def notify(**told: str) -> Exchange:
    values = {{"state": STATE, "result": RESULT}[name]: value for name, value in told.items()}
    return Exchange(kind=ExchangeKind.NOTIFICATION, path=STATE, told=values)


def write(path: str, said: str, *, order: str = "", answer: str = "2.04", seconds: float = 0.5) -> Exchange:
    return Exchange(kind=ExchangeKind.WRITE, path=path, told={path: said}, answer=answer, order=order, seconds=seconds)


def execute(path: str, *, order: str = "", answer: str = "2.04") -> Exchange:
    return Exchange(kind=ExchangeKind.EXECUTE, path=path, answer=answer, order=order)


REGISTER = Exchange(kind=ExchangeKind.REGISTER, answer="2.01")
WAYS = st.sets(st.sampled_from(["1 cancel", "2 cancel", "1 forget_address"]))


def offer(scheme: str, *, answer: str = "4.00") -> Exchange:
    return write("/5/0/1", f"{scheme}://192.0.2.1:1/fw/...", order="transfer_by_uri", answer=answer)


def push(answer: str) -> Exchange:
    return write("/5/0/0", "9000 bytes", order="transfer_by_write", answer=answer)


def gives_up(way: str, *, was_left: bool) -> Decision:
    return Decision(
        heard="inspect_answered",
        before="transferring",
        after="transferring",
        way_given_up=way,
        was_left=was_left,
    )


RESET_ADDRESS = write("/5/0/1", "", order="reset")
RESET_PACKAGE = write("/5/0/0", "1 bytes", order="reset")
NO_CANCEL = execute("/5/0/10", order="reset", answer="4.04")


def seen(*, takes=(), refuses=(), leaves=(), at: datetime = START, **more) -> Traits:
    """Return traits of a client of which so much was seen of ways."""
    verdicts = {WayVerdict.TAKES: takes, WayVerdict.REFUSES: refuses, WayVerdict.LEAVES: leaves}
    ways = {way: SeenWay(did, at) for did, ways in verdicts.items() for way in ways}
    return Traits(ways=ways, **more)


def notes_of(*exchanges: object) -> list[Note]:
    return [Note(occurred_at=START + timedelta(seconds=n), what=what) for n, what in enumerate(exchanges)]


def traits(*exchanges: object) -> Traits:
    """Return what a sequence teaches, as if all of ways had been seen at the start."""
    found = learned(notes_of(*exchanges)).traits
    return structs.replace(found, ways={way: SeenWay(seen.did, START) for way, seen in found.ways.items()})


def reset_read(state: str) -> Exchange:
    return read(STATE, order="reset", state=state)


CASES = [
    (
        "the format that brought the object",
        [read("/5/0", number=112, state="0")],
        Traits(read_format=112, refuses_objects=False),
    ),
    (
        "an observation that is refused",
        [Exchange(kind=ExchangeKind.OBSERVE, path=STATE, answer="4.05")],
        Traits(observes=False),
    ),
    (
        "an empty URI that does nothing, and Cancel that helps",
        [reset_read("1"), RESET_ADDRESS, reset_read("1"), execute("/5/0/10", order="reset"), reset_read("0")],
        Traits(cancels=True, resets_by=("1 cancel",), resets_not_by=("1 forget_address",)),
    ),
    (
        "no Cancel, and a NUL that helps",
        [reset_read("2"), NO_CANCEL, reset_read("2"), RESET_PACKAGE, reset_read("0")],
        Traits(cancels=False, resets_by=("2 forget_package",), resets_not_by=("2 cancel",)),
    ),
    ("a reset in Idle teaches nothing", [reset_read("0"), RESET_ADDRESS, reset_read("0")], Traits()),
    (
        "state 1 is shown while it is written",
        [notify(state="1"), write("/5/0/0", "9000 bytes", seconds=5.0)],
        Traits(shows_downloading_when_written=True),
    ),
    ("state 1 is never shown", [write("/5/0/0", "9000 bytes")], Traits(shows_downloading_when_written=False)),
    (
        "a failed installation that leaves the package",
        [execute("/5/0/2"), notify(state="3"), notify(state="2"), notify(result="8")],
        Traits(failed_install_returns_to=2),
    ),
    (
        "a result that stood there before is not of this installation",
        [read("/5/0", state="2", result="8"), execute("/5/0/2"), read(STATE, state="2", result="8")],
        Traits(),
    ),
    (
        "a client that forgets",
        [read(VERSION, version="1.0"), execute("/5/0/2"), REGISTER, read(VERSION, version="2.0"),
         read("/5/0", state="0", result="0")],
        Traits(forgets_state=True, notifies_end=False),
    ),
    (
        "a client that remembers",
        [execute("/5/0/2"), notify(state="3"), REGISTER, read("/5/0", state="0", result="1")],
        Traits(forgets_state=False, notifies_end=False),
    ),
    (
        "a client that ends without a reboot",
        [execute("/5/0/2"), notify(state="3"), notify(state="0"), notify(result="1")],
        Traits(notifies_end=True),
    ),
    ("a deferral", [execute("/5/0/2"), notify(result="11")], Traits(defers=True)),
    (
        "the blocks that it asks for",
        [Transfer(way="uri", began_at=START, last_at=START, blocks=4, reached=1024, total=9999, block=256)],
        Traits(largest_block=256),
    ),
    (
        "an address that is refused, with a result that says why",
        [offer("http"), read(STATE, state="0"), read(RESULT, result="9")],
        seen(refuses=["http"]),
    ),
    (
        "an address that is refused by a device that knows no addresses",
        [offer("coap", answer="4.05"), read("/5/0", state="0", result="0", number=112)],
        seen(refuses=["coap"], read_format=112, refuses_objects=False),
    ),
    (
        "an address that is refused for no reason that is told",
        [offer("http"), read(STATE, state="0"), read(RESULT, result="0")],
        Traits(),
    ),
    (
        "an address that is refused by a device that is at something else",
        [offer("http", answer="4.05"), read(STATE, state="1"), read(RESULT, result="0")],
        Traits(),
    ),
    (
        "an address that is taken, and whose protocol is not",
        [read(RESULT, result="0"), offer("https", answer="2.04"), notify(state="1"), notify(result="9")],
        seen(refuses=["https"]),
    ),
    (
        "a result that stood there before is not of this address",
        [read(RESULT, result="9"), offer("https", answer="2.04"), notify(result="9")],
        Traits(),
    ),
    (
        "an address that brought the package",
        [offer("https"), read(STATE, state="0", result="9"), offer("coap", answer="2.04"), notify(state="2")],
        seen(refuses=["https"], takes=["coap"]),
    ),
    (
        "a way that was refused once and works now",
        [offer("http"), read(STATE, state="0", result="9"), offer("http", answer="2.04"), notify(state="2")],
        seen(takes=["http"]),
    ),
    (
        "a package that is not to be written",
        [push("5.01"), read(STATE, state="0", result="0")],
        seen(refuses=["written"]),
    ),
    (
        "a package that is too large, or got lost, says nothing of the way",
        [push("4.13"), read(STATE, state="0", result="0"), push("4.08"), read(STATE, state="0", result="0")],
        Traits(),
    ),
    (
        "a package that was written",
        [push("2.04")],
        seen(takes=["written"], shows_downloading_when_written=False),
    ),
    (
        "an address that was let lie, and a way that was given up for another reason",
        [gives_up("https", was_left=True), gives_up("http", was_left=False)],
        seen(leaves=["https"]),
    ),
    (
        "a way whose address was let lie once and that works now",
        [gives_up("http", was_left=True), offer("http", answer="2.04"), notify(state="2")],
        seen(takes=["http"]),
    ),
    (
        "the read of an object that is let go by, while others are answered",
        [unanswered("/5/0"), read("/5/0/1"), read(STATE, state="0")],
        Traits(silence=SeenSilence(True, START + timedelta(seconds=1))),
    ),
    (
        "the read of an object that a client goes to sleep over, or is brought down by",
        [unanswered("/5/0", "the device fell asleep"), REGISTER, read("/5/0/1")],
        Traits(silence=SeenSilence(True, START + timedelta(seconds=2))),
    ),
    ("one that was given up here", [unanswered("/5/0", "given up: the order is not wanted"), read("/5/0/1")], Traits()),
    ("a probe after a while in which nothing was answered", [unanswered("/5/0"), read(STATE, state="0")], Traits()),
    ("a device that answers nothing", [unanswered("/5/0"), unanswered("/5/0/1"), read("/3/0/3")], Traits()),
    (
        "one that answers now what it let go by",
        [unanswered("/5/0"), read("/5/0/1"), read("/5/0", state="0", number=112)],
        Traits(silence=SeenSilence(False, START + timedelta(seconds=2)), read_format=112, refuses_objects=False),
    ),
    (
        "what is fetched by HTTP comes in no blocks",
        [Transfer(way="uri", began_at=START, last_at=START, blocks=1, reached=9999, total=9999, block=9999)],
        Traits(),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("exchanges", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_sequence_teaches(exchanges, expected) -> None:
    assert traits(*exchanges) == expected


some_traits = st.builds(
    Traits,
    read_format=st.sampled_from([None, 112, 11542]),
    cancels=st.sampled_from([None, True, False]),
    resets_by=WAYS.map(lambda drawn: tuple(sorted(drawn))),
    ways=st.dictionaries(
        st.sampled_from([way.value for way in TransferWay]),
        st.builds(SeenWay, st.sampled_from(WayVerdict), st.integers(0, 5).map(lambda n: START + timedelta(days=n))),
    ),
)  # fmt: skip


@given(some_traits, some_traits)
def test_what_is_learnt_later_counts_and_nothing_is_lost(earlier: Traits, later: Traits) -> None:
    both = combined(earlier, later)
    assert combined(both, later) == both
    assert combined(earlier, Traits()) == earlier
    assert both.cancels == (earlier.cancels if later.cancels is None else later.cancels)
    assert set(both.resets_by) == {*earlier.resets_by, *later.resets_by}


def test_a_way_that_stops_helping_is_no_longer_one_that_helps() -> None:
    before = Traits(resets_by=("1 cancel",))
    after = combined(before, Traits(resets_not_by=("1 cancel",)))
    assert (after.resets_by, after.resets_not_by) == ((), ("1 cancel",))
    assert combined(after, before) == before


@given(st.sampled_from([None, 0, 1, 2, 3]), some_traits)
def test_every_way_back_is_tried_whatever_is_known(state, known: Traits) -> None:
    ways = DriverChoices(resets_by=known.resets_by, resets_not_by=("1 forget_package",)).reset_ways(state)
    assert sorted(ways, key=lambda way: way.value) == sorted(ResetWay, key=lambda way: way.value)


def test_what_helped_comes_first_and_what_did_not_last() -> None:
    choices = DriverChoices(resets_by=("1 cancel",), resets_not_by=("1 forget_address",))
    assert choices.reset_ways(1) == (ResetWay.CANCEL, ResetWay.FORGET_PACKAGE, ResetWay.FORGET_ADDRESS)
    assert choices.reset_ways(2) == tuple(ResetWay)
    assert DriverChoices(cancels=False).reset_ways(2)[-1] is ResetWay.CANCEL
    assert DriverChoices(cancels=False, resets_by=("2 cancel",)).reset_ways(2)[0] is ResetWay.CANCEL


def test_a_device_counts_before_its_model_and_both_before_what_is_expected() -> None:
    shown = Shown(lwm2m_version="1.1", content_formats=(112,))
    assert expected_of(shown).read_format == 112
    assert expected_of(Shown(lwm2m_version="1.0", content_formats=(112,))).read_format is None
    known = KnownClient(device=ClientProfile(shown=shown))
    assert choices_of(known, START, MONTH).read_format == 112
    of_model = KnownClient(device=known.device, model=Traits(read_format=11542))
    assert choices_of(of_model, START, MONTH).read_format == 11542
    own = KnownClient(device=ClientProfile(shown=shown, traits=Traits(read_format=110)), model=of_model.model)
    assert choices_of(own, START, MONTH).read_format == 110
    assert choices_of(own, START, MONTH).asks_who_it_is


@pytest.mark.parametrize(("version", "family"), [("1.2.3", "1"), ("v2.0-rc1", "v2"), ("release", "release"), ("", "")])
def test_versions_of_one_firmware_are_a_family(version, family) -> None:
    assert firmware_family(version) == family


def test_a_model_is_named_by_what_the_device_says() -> None:
    assert Shown(manufacturer="Acme", model="M|1", version="1.2").model_key == "Acme|M/1|1"
    assert Shown(version="1.2").model_key == ""
    later = shown_later(Shown(manufacturer="Acme", version="1.0"), Shown(version="2.0", was_asked=True))
    assert (later.manufacturer, later.version, later.was_asked) == ("Acme", "2.0", True)


def test_a_check_teaches_and_is_reported() -> None:
    findings = Findings(
        formats={"TLV": "4.06", "SenML-CBOR": "2.05", "SenML-JSON": "4.06"},
        read_format=112,
        told={"/3/0/0": "Acme", "/3/0/1": "M1", "/3/0/3": "1.0", "/5/0/9": "1"},
        discover="2.05",
        resources=(0, 1, 2, 3, 5, 10),
        observe="2.05",
        observed=True,
        cancel="2.05",
        reset="2.04",
        after_reset="0 0",
    )
    profile = found_out(findings, START)
    assert profile.traits == Traits(
        read_format=112,
        refuses_objects=False,
        silence=SeenSilence(False, START),
        observes=True,
        cancels=True,
        resources=(0, 1, 2, 3, 5, 10),
        delivery_method=1,
    )
    known = KnownClient(device=profile, model=Traits(resets_not_by=("1 forget_address",), resets_by=("1 cancel",)))
    lines = {line.about: line for line in report(known, findings, choices_of(known, START, MONTH))}
    assert lines["read of /5/0"].will == "read in SENML-CBOR"
    assert lines["delivery"].will == "is written the package"
    assert lines["reset in Idle"].mark is Mark.OK
    back = lines["back from Downloading"]
    assert (back.mark, back.will.split(",")[0]) == (Mark.DIFFERS, "first Cancel")
    assert lines["after the reboot"].mark is Mark.UNKNOWN


def test_of_a_device_without_the_object_a_check_teaches_nothing_about_it() -> None:
    findings = Findings(formats={"TLV": "4.04", "SenML-CBOR": "4.04"}, told={"/3/0/0": "Acme"}, is_absent=True)
    profile = found_out(findings, START)
    assert (profile.traits, profile.shown.manufacturer) == (Traits(), "Acme")
    lines = {line.about: line for line in report(KnownClient(device=profile), findings, DriverChoices())}
    assert "read of /5/0" not in lines
    assert lines["firmware object"].did == "has none: each read of it is answered with 4.04"


def test_an_object_that_is_there_and_not_listed_is_reported() -> None:
    findings = Findings(formats={"TLV": "2.05"}, read_format=11542, told={"/5/0/3": "0"}, is_listed=False)
    known = KnownClient(device=found_out(findings, START))
    choices = choices_of(known, START, MONTH)
    lines = {line.about: line for line in report(known, findings, choices)}
    assert lines["firmware object"].will == "is upgraded all the same"
    assert choices.has_firmware_object


def test_a_device_that_falls_silent_is_reported_as_far_as_it_went() -> None:
    findings = Findings(formats={"TLV": "4.05"}, failure="no answer from the device: timeout")
    lines = report(KnownClient(device=found_out(findings, START)), findings, DriverChoices())
    assert [line.about for line in lines if line.mark is Mark.DIFFERS] == ["identity", "read of /5/0"]
    assert "the check" in {line.about for line in lines}


def test_ways_that_were_refused_are_told_of_and_come_last() -> None:
    traits = seen(takes=["coap", "written"], refuses=["http", "https"])
    known = KnownClient(device=ClientProfile(traits=traits))
    assert choices_of(known, START, MONTH).avoided_ways == (TransferWay.HTTP, TransferWay.HTTPS)
    (line,) = [line for line in report(known, None, choices_of(known, START, MONTH)) if line.about == "packages"]
    assert (line.did, line.will, line.mark) == (
        "takes them by CoAP, written, takes none by HTTP, by HTTPS",
        "is sent them by HTTP, by HTTPS last",
        Mark.DIFFERS,
    )
    left = KnownClient(device=ClientProfile(traits=seen(takes=["coap"], leaves=["https"])))
    assert choices_of(left, START, MONTH).avoided_ways == (TransferWay.HTTPS,)
    (line,) = [line for line in report(left, None, choices_of(left, START, MONTH)) if line.about == "packages"]
    assert (line.did, line.will, line.mark) == (
        "takes them by CoAP, took an address and asked for nothing by HTTPS",
        "is sent them by HTTPS last",
        Mark.DIFFERS,
    )
    assert taught_by(left.device.traits) == seen(takes=["coap"])


def test_a_way_is_avoided_for_so_long_and_then_tried_as_if_it_were_new() -> None:
    known = KnownClient(device=ClientProfile(traits=seen(refuses=["https"], leaves=["http"], at=START)))
    before = choices_of(known, START + MONTH - timedelta(seconds=1), MONTH)
    assert before.avoided_ways == (TransferWay.HTTP, TransferWay.HTTPS)
    assert before.holds_until == START + MONTH
    after = choices_of(known, START + MONTH, MONTH)
    assert (after.avoided_ways, after.holds_until) == ((), None)
    assert choices_of(known, START + timedelta(seconds=1), timedelta(0)).avoided_ways == (), "0 days: each is new"
    (line,) = [line for line in report(known, None, after) if line.about == "packages"]
    assert line.will == "is sent them as it says that it takes them"


def test_what_a_device_did_with_a_way_counts_before_its_model_while_it_counts() -> None:
    later = START + timedelta(days=20)
    known = KnownClient(
        device=ClientProfile(traits=seen(takes=["https"], at=START)), model=seen(refuses=["https"], at=later)
    )
    assert choices_of(known, later, MONTH).avoided_ways == ()
    assert choices_of(known, START + MONTH, MONTH).avoided_ways == (TransferWay.HTTPS,)


def test_what_was_seen_before_the_client_changed_counts_no_more_of_its_model_neither() -> None:
    known = KnownClient(
        device=ClientProfile(traits=seen(refuses=["https"]), ways_since=START), model=seen(refuses=["http"])
    )
    assert choices_of(known, START, MONTH).avoided_ways == ()


def silent(*, at: datetime = START, is_silent: bool = True, read_format: int | None = None) -> Traits:
    return Traits(silence=SeenSilence(is_silent, at), read_format=read_format)


def test_silence_counts_for_a_while_and_then_objects_are_read_whole_as_if_it_were_new() -> None:
    known = KnownClient(device=ClientProfile(traits=silent()))
    before = choices_of(known, START + MONTH - timedelta(seconds=1), MONTH)
    assert (before.leaves_objects_unanswered, before.holds_until) == (True, START + MONTH)
    assert "unknown formats" in {line.about for line in report(known, None, before)}
    after = choices_of(known, START + MONTH, MONTH)
    assert (after.leaves_objects_unanswered, after.holds_until) == (False, None)


@pytest.mark.parametrize(
    ("device", "model", "since", "counts"),
    [
        (Traits(), silent(), None, True),
        (Traits(read_format=112), silent(), None, False),
        (silent(is_silent=False), silent(), None, False),
        (silent(read_format=112), Traits(), None, True),
        (silent(), silent(), START, False),
        (silent(at=START + timedelta(days=1)), Traits(), START, True),
    ],
)
def test_whose_silence_counts(device, model, since, counts) -> None:
    known = KnownClient(device=ClientProfile(traits=device, ways_since=since), model=model)
    assert choices_of(known, START + timedelta(days=2), MONTH).leaves_objects_unanswered is counts


def test_a_check_that_gets_no_answer_teaches_silence_where_something_is_answered() -> None:
    formats = {"TLV": "4.06", "SenML-CBOR": NO_ANSWER}
    assert found_out(Findings(formats=formats, told={"/5/0/3": "0"}), START).traits.silence == SeenSilence(True, START)
    assert found_out(Findings(formats=formats, told={"/3/0/0": "Acme"}), START).traits.silence is None


VERSION_1, VERSION_1_1, VERSION_2 = (read(VERSION, version=version) for version in ("1.0", "1.1", "2.0"))
REFUSAL = [offer("http"), read(STATE, state="0"), read(RESULT, result="9")]


def test_another_client_is_not_judged_by_what_the_former_did() -> None:
    assert "http" in learned(notes_of(VERSION_1, *REFUSAL, VERSION_1_1)).traits.ways, "a version of the same family"
    other = learned(notes_of(VERSION_1, *REFUSAL, VERSION_2))
    assert (other.traits.ways, other.ways_since) == ({}, START + timedelta(seconds=4))
    # What was read before that is told again, and what is known is of the present one.
    again = learned(notes_of(VERSION_1, *REFUSAL), structs.replace(other, shown=Shown(version="2.0")))
    assert (again.traits.ways, again.ways_since) == ({}, other.ways_since)
    assert "http" in learned(notes_of(VERSION_1, *REFUSAL, VERSION_2, *REFUSAL)).traits.ways


@pytest.mark.parametrize(
    ("before", "after", "is_another"),
    [
        (Shown(manufacturer="A"), Shown(manufacturer="B"), True),
        (Shown(model="M1"), Shown(model="M2"), True),
        (Shown(version="1.9"), Shown(version="2.0"), True),
        (Shown(version="1.0"), Shown(version="1.9"), False),
        (Shown(objects=(1, 3, 5)), Shown(objects=(1, 3, 5, 9)), True),
        (Shown(object_version="1.0"), Shown(object_version="1.1"), True),
        (Shown(lwm2m_version="1.0"), Shown(lwm2m_version="1.1"), True),
        (Shown(manufacturer="A", version="1.0", objects=(5,)), Shown(), False),
        (Shown(), Shown(manufacturer="A", version="1.0", objects=(5,)), False),
        (Shown(binding="U", queue_mode=False), Shown(binding="T", queue_mode=True), False),
    ],
)
def test_a_client_is_another_where_both_tell_what_does_not_change_by_itself(before, after, is_another) -> None:
    assert is_another_client(before, after) is is_another


STORY = st.lists(
    st.sampled_from(
        [
            VERSION_1,
            VERSION_1_1,
            VERSION_2,
            unanswered("/5/0"),
            read("/5/0/1"),
            REGISTER,
            gives_up("https", was_left=True),
            *REFUSAL,
            push("2.04"),
        ]
    ),
    max_size=25,
)


@given(STORY, st.integers(0, 25), st.integers(0, 25))
def test_learning_again_from_some_of_the_notes_brings_nothing_back(story, first, last) -> None:
    """What is known of ways is younger than the change of the client, whichever part of the journal is read again."""
    notes = notes_of(*story)
    known = learned(notes)
    part = learned(notes[first:last], known)
    assert all(known.ways_since is None or way.at > known.ways_since for way in known.traits.ways.values())
    assert all(part.ways_since is None or way.at > part.ways_since for way in part.traits.ways.values())
    for profile in (known, part):
        silence = profile.traits.silence
        assert silence is None or profile.ways_since is None or silence.at > profile.ways_since
    assert known.ways_since is None or part.ways_since >= known.ways_since
