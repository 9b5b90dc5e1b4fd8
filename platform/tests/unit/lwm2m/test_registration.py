import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.lwm2m.errors import RegistrationFormatError
from firmcast.lwm2m.paths import Path
from firmcast.lwm2m.registration import (
    DEFAULT_LIFETIME,
    LONGEST_LIFETIME,
    ObjectLinks,
    RegisterRequest,
    UpdateRequest,
    format_object_links,
    format_register_query,
    format_update_query,
    lists_no_firmware_object,
    parse_object_links,
    parse_register,
    parse_update,
    root_segments,
)

object_paths = st.lists(st.integers(0, 40), min_size=1, max_size=2).map(lambda numbers: Path(tuple(numbers)))
object_links = st.builds(
    ObjectLinks,
    paths=st.lists(object_paths, max_size=6, unique=True).map(tuple),
    root=st.sampled_from(["", "/lwm2m"]),
    content_formats=st.sampled_from([(), (110,), (60, 110, 112)]),
)
registers = st.builds(
    RegisterRequest,
    endpoint_name=st.text("abcdefghijklmnop:-.0123456789=&é", min_size=1, max_size=30),
    lifetime=st.integers(1, LONGEST_LIFETIME),
    lwm2m_version=st.sampled_from(["1.0", "1.1", "1.2"]),
    binding=st.sampled_from(["U", "UT", "S", "US"]),
    queue_mode=st.booleans(),
    sms_number=st.none() | st.just("+15550100"),
    objects=object_links,
)


@given(registers)
def test_a_register_is_read_as_it_was_written(request: RegisterRequest) -> None:
    assert parse_register(format_register_query(request), format_object_links(request.objects)) == request


@given(
    st.builds(
        UpdateRequest,
        lifetime=st.none() | st.integers(1, LONGEST_LIFETIME),
        sms_number=st.none() | st.just("+15550100"),
    )
)
def test_an_update_is_read_as_it_was_written(request: UpdateRequest) -> None:
    assert parse_update(format_update_query(request), b"") == request


@given(
    st.lists(st.text(max_size=12) | st.sampled_from(["ep=a", "lt=1", "b=UQ", "Q", "lwm2m=1.1"]), max_size=6),
    st.binary(max_size=60),
)
def test_anything_is_a_registration_or_the_one_error(query: list[str], payload: bytes) -> None:
    for parse in (parse_register, parse_update):
        try:
            parse(query, payload)
        except RegistrationFormatError:
            continue


def test_a_client_that_says_little() -> None:
    assert parse_register(["ep=node-1"], b"") == RegisterRequest(
        endpoint_name="node-1", lifetime=DEFAULT_LIFETIME, lwm2m_version="1.0", binding="U", queue_mode=False
    )


def test_a_client_without_binding_and_with_a_bare_queue_flag() -> None:
    request = parse_register(
        ["lwm2m=1.2", "ep=urn:dev:os:1", "lt=60", "Q"], b'</>;rt="oma.lwm2m";ct="60 110 112",</1/1>,</3/0>,</5/0>'
    )
    assert request.queue_mode
    assert request.binding == "U"
    assert request.lifetime == 60
    assert request.objects.paths == (Path.of(1, 1), Path.of(3, 0), Path.of(5, 0))
    assert request.objects.content_formats == (60, 110, 112)


def test_a_client_that_tells_versions_of_objects_and_lists_empty_ones() -> None:
    objects = parse_object_links(b'</>;rt="oma.lwm2m";ct=110,</1>;ver=1.1,</1/0>,</3/0>,</5>;ver="1.0",</5/0>')
    assert objects.version_of(1) == "1.1"
    assert objects.version_of(5) == "1.0"
    assert objects.version_of(3) is None
    assert objects.paths == (Path.of(1), Path.of(1, 0), Path.of(3, 0), Path.of(5), Path.of(5, 0))
    assert objects.has_object(5)
    assert not objects.has_object(9)


def test_objects_under_another_root() -> None:
    objects = parse_object_links(b'</tree>;rt="x oma.lwm2m",</tree/5/0>,</sensors/1>,</5/1>')
    assert objects.root == "/tree"
    assert objects.paths == (Path.of(5, 0),)


@pytest.mark.parametrize(
    ("payload", "segments"),
    [
        (b'</>;rt="oma.lwm2m";ct=110,</5/0>', ()),
        (b"</5/0>", ()),
        (b'</lwm2m>;rt="oma.lwm2m",</lwm2m/5/0>', ("lwm2m",)),
        (b'<//>;rt="oma.lwm2m",</5/0>', ()),
        (b'</a/b/>;rt="oma.lwm2m",</a/b/5/0>', ("a", "b")),
        (b'</%b>;rt="oma.lwm2m"' % (b"a" * 254), ("a" * 254,)),
        (b'</%b>;rt="oma.lwm2m"' % (b"a" * 255), ()),
        (b"oma.lwm2m", ()),
        (b"", ()),
    ],
)
def test_the_path_that_all_objects_lie_under(payload: bytes, segments: tuple[str, ...]) -> None:
    assert root_segments(payload) == segments


@pytest.mark.parametrize(
    "link",
    [b'</>;ct=60 110 112 11542;rt="oma.lwm2m"', b"</>;ct=60;ct=110;ct=112;ct=11542", b'</>;ct="60 110 112 11542"'],
)
def test_formats_however_they_are_listed(link: bytes) -> None:
    assert parse_object_links(link + b",</1>;ver=1.1,</1/0>").content_formats == (60, 110, 112, 11542)


def test_formats_that_a_link_to_the_top_lists_without_saying_what_it_is() -> None:
    objects = parse_object_links(b"</>;ct=112,</1>;ver=1.1,</1/0>,</3>;ver=1.0,</3/0>,</5/0>,</3303>")
    assert (objects.root, objects.content_formats) == ("", (112,))
    assert objects.paths[-2:] == (Path.of(5, 0), Path.of(3303))
    assert parse_object_links(b'</>;ct=110,</tree>;rt="oma.lwm2m";ct=112,</tree/5/0>').content_formats == (112,)


def test_links_that_are_no_objects_are_passed_over() -> None:
    assert parse_object_links(b"</.well-known/core>,</5/0>,</5/0/3>,<coap://a/5/1>").paths == (Path.of(5, 0),)


def test_the_queue_flag_of_version_1_0_hides_in_the_binding() -> None:
    request = parse_register(["ep=a", "b=UQS"], b"")
    assert (request.binding, request.queue_mode) == ("US", True)
    assert format_register_query(parse_register(["ep=a", "b=UQ"], b""))[-1] == "b=UQ"


def test_a_lifetime_of_zero_never_ends_and_a_huge_one_is_cut() -> None:
    assert parse_register(["ep=a", "lt=0"], b"").lifetime == LONGEST_LIFETIME
    assert parse_register(["ep=a", "lt=4294967295"], b"").lifetime == LONGEST_LIFETIME


def test_the_name_of_the_secure_channel_stands_in_for_a_missing_one() -> None:
    assert parse_register([], b"", default_endpoint_name="psk-7").endpoint_name == "psk-7"
    assert parse_register(["ep=own"], b"", default_endpoint_name="psk-7").endpoint_name == "own"


def test_an_update_that_says_nothing_changes_nothing() -> None:
    assert parse_update([], b"") == UpdateRequest()
    assert parse_update(["Q"], b"").queue_mode is True
    assert parse_update(["b=U"], b"").queue_mode is False


@pytest.mark.parametrize(
    "query",
    [
        [],
        ["ep="],
        ["ep= "],
        ["ep=a\nb"],
        ["ep=" + "é" * 128],
        ["ep=a", "ep=b"],
        ["ep=a", "lt=soon"],
        ["ep=a", "lt=-1"],
        ["ep=a", "lt="],
        ["ep=a", "lt=99999999999"],
        ["ep=a", "lwm2m=one"],
        ["ep=a", "b=u&x"],
    ],
)
def test_what_is_no_register_is_refused(query: list[str]) -> None:
    with pytest.raises(RegistrationFormatError):
        parse_register(query, b"")


@pytest.mark.parametrize("payload", [b"</5/0", b"\xff", b",".join([b"</5/0>"] * 1001)])
def test_what_is_no_list_of_objects_is_refused(payload: bytes) -> None:
    with pytest.raises(RegistrationFormatError):
        parse_register(["ep=a"], payload)


@pytest.mark.parametrize(
    ("payload", "lists_none"),
    [
        (b"</1/0>,</3/0>", True),
        (b'</>;rt="oma.lwm2m";ct=110,</1>;ver=1.1,</1/0>,</3>,</3/0>,</3303/5>', False),
        (b'</lwm2m>;rt="oma.lwm2m",</lwm2m/1/0>,</lwm2m/3/0>', True),
        (b'</lwm2m>;rt="oma.lwm2m",</lwm2m/3/0>,</lwm2m/5>', False),
        (b"</3>,</5>", False),
        (b"</3/0>,</5/0>", False),
        (b"</55/0>,</3/0>", True),
        (b"</3303/0>", False),
        (b"", False),
        (b"<", False),
    ],
)
def test_links_without_a_firmware_object_are_told_from_a_part_of_all_links(payload: bytes, lists_none: bool) -> None:
    assert lists_no_firmware_object(payload) is lists_none
