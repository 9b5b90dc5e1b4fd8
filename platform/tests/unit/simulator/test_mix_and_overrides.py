import contextlib
from collections import Counter
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.lwm2m.content import ContentFormat
from firmcast.lwm2m.firmware_update import DeliveryMethod, FirmwareUpdateState, Protocol, UpdateResult
from firmcast.simulator.mix import parse_mix, shared_out
from firmcast.simulator.overrides import QUIRKS, with_quirk
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.profiles import NAMED_PROFILES, PROFILES
from firmcast.simulator.sleep import SleepHabit

PLAIN = DeviceProfile()
IDLE, DOWNLOADING, DOWNLOADED, UPDATING = FirmwareUpdateState


def test_mixes() -> None:
    assert parse_mix("plain") == {"plain": 1}
    assert parse_mix(" anjay = 30, zephyr=70 ") == {"anjay": 30, "zephyr": 70}
    assert parse_mix("a,b=2") == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "text", ["", "a,", ",a", "a,a", "a=0", "a=-1", "a=1.5", "a=", "=1", "a=²", "a=99999999999", "a=b=1"]
)
def test_what_is_no_mix(text: str) -> None:
    with pytest.raises(ValueError):
        parse_mix(text)


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(1, 100), min_size=1, max_size=5), st.integers(0, 300))
def test_each_kind_has_its_share_at_every_moment(shares: dict[str, int], count: int) -> None:
    names = list(shared_out(shares, count))
    assert len(names) == count
    had: Counter[str] = Counter()
    for number, name in enumerate(names, 1):
        had[name] += 1
        for kind, share in shares.items():
            assert abs(had[kind] - number * share / sum(shares.values())) < len(shares)
    assert names == list(shared_out(shares, count))


def test_shares_of_a_hundred() -> None:
    assert Counter(shared_out({"anjay": 30, "zephyr": 70}, 100)) == {"anjay": 30, "zephyr": 70}


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("boot_time=20", 20.0),
        ("boot-time = 0.5", 0.5),
        ("block_szx=2", 2),
        ("drops_query=yes", True),
        ("resumes=no", False),
        ("resumes=False", False),
        ("delivery=push", DeliveryMethod.PUSH),
        ("delivery=0", DeliveryMethod.PULL),
        ("default_content_format=112", ContentFormat.SENML_CBOR),
        ("rejects_package_with=6", UpdateResult.UNSUPPORTED_PACKAGE_TYPE),
        ("rejects_package_with=none", None),
        ("defers_for=3", 3.0),
        ("defers_for=None", None),
        ("failed_install_returns_to=idle", IDLE),
        ("unnotified=0,UPDATING", frozenset({IDLE, UPDATING})),
        ("honours_reset_in=", frozenset()),
        ("speaks=COAP,HTTP", (Protocol.COAP, Protocol.HTTP)),
        ("protocols=", ()),
        ("model=W=1", "W=1"),
        ("version=3.1", "3.1"),
        ("sleep=5/60", SleepHabit(awake_for=5.0, update_every=60.0)),
    ],
)
def test_quirks_are_typed_as_a_person_would(assignment: str, value: object) -> None:
    name = assignment.partition("=")[0].strip().replace("-", "_")
    changed = with_quirk(PLAIN, assignment)
    assert getattr(changed, name) == value
    assert type(getattr(changed, name)) is type(value)


@pytest.mark.parametrize(
    "assignment",
    [
        *(
            "",
            "boot_time",
            "nonsense=1",
            "sleep=1",
            "sleep=0/5",
            "sleep=1/2/3",
            "boot_time=soon",
            "boot_time=nan",
            "boot_time=-1",
            "block_szx=7",
        ),
        *("drops_query=perhaps", "delivery=9", "unnotified=4", "first_result=99", "default_content_format=110"),
        *("defers_for=inf", "failed_install_returns_to=3", "resumes="),
    ],
)
def test_what_is_no_quirk(assignment: str) -> None:
    with pytest.raises(ValueError, match="."):
        with_quirk(PLAIN, assignment)


@given(st.sampled_from(QUIRKS), st.text(max_size=8))
def test_any_text_is_a_quirk_or_the_one_error(name: str, text: str) -> None:
    with contextlib.suppress(ValueError):
        assert getattr(with_quirk(PLAIN, f"{name}={text}"), name) is not ...


def test_every_value_of_every_named_profile_can_be_typed() -> None:
    def typed(value: object) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, SleepHabit):
            return f"{value.awake_for}/{value.update_every}"
        if isinstance(value, frozenset | tuple):
            return ",".join(str(int(one)) for one in value)
        return "none" if value is None else str(int(value) if isinstance(value, int) else value)

    for profile in PROFILES.values():
        made = DeviceProfile()
        for _ in range(2):  # some values fit only others, which come later
            for field in fields(DeviceProfile):
                if field.name in QUIRKS and getattr(profile, field.name) != getattr(made, field.name):
                    made = with_quirk(made, f"{field.name}={typed(getattr(profile, field.name))}")
        assert made == profile


def test_every_profile_is_told_by_one_sentence_and_is_like_another() -> None:
    for name, named in NAMED_PROFILES.items():
        assert named.description[0].isupper(), name
        assert not named.description.endswith("."), name
        assert named.like in NAMED_PROFILES
        assert name == "plain" or named.profile != NAMED_PROFILES[named.like].profile, name
