import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.lwm2m.errors import PathFormatError
from firmcast.lwm2m.paths import FIRMWARE_INSTANCE, FIRMWARE_STATE, HIGHEST_ID, Path

paths = st.lists(st.integers(0, HIGHEST_ID), min_size=1, max_size=4).map(lambda numbers: Path(tuple(numbers)))


@given(paths)
def test_a_path_is_read_as_it_was_written(path: Path) -> None:
    assert Path.parse(str(path)) == path
    assert Path.parse(str(path)[1:]) == path
    assert Path.from_segments(path.segments) == path


@given(st.text(max_size=30))
def test_any_text_is_a_path_or_the_one_error(text: str) -> None:
    try:
        path = Path.parse(text)
    except PathFormatError:
        return
    assert str(path) == "/" + text.removeprefix("/")


@pytest.mark.parametrize(
    "text", ["", "/", "//", "/5/", "/5//0", "/a", "/5/0/3/0/1", "/65535", "/-1", "/05", "/5 ", "/٣", "/123456"]
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(PathFormatError):
        Path.parse(text)


def test_the_parts_of_a_path_have_names() -> None:
    path = Path.parse("/5/0/8/1")
    assert (path.object_id, path.instance_id, path.resource_id, path.resource_instance_id) == (5, 0, 8, 1)
    assert path.depth == 4
    assert path.parent == Path.of(5, 0, 8)
    assert Path.of(5).parent is None
    assert Path.of(5).instance_id is None


def test_a_path_covers_itself_and_what_lies_in_it() -> None:
    assert FIRMWARE_INSTANCE.covers(FIRMWARE_STATE)
    assert FIRMWARE_STATE.covers(FIRMWARE_STATE)
    assert not FIRMWARE_STATE.covers(FIRMWARE_INSTANCE)
    assert not Path.of(5, 0).covers(Path.of(50, 0, 1))


def test_paths_are_ordered_as_the_tree_is_walked() -> None:
    texts = ["/3/0/3", "/5", "/5/0", "/5/0/3", "/5/0/10"]
    assert [str(path) for path in sorted(map(Path.parse, reversed(texts)))] == texts
