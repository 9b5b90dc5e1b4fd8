"""Every input of the corpus, and what comes of it when it is bent, is taken by its target without a fault."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.corpus import CORPUS, inputs
from tests.fuzz.targets import TARGETS

KNOWN = [(target, name) for target in TARGETS for name in inputs(target)]


def test_every_target_has_a_corpus_and_no_other() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)


@pytest.mark.parametrize(("target", "name"), KNOWN)
def test_an_input_that_is_known(target: str, name: str) -> None:
    TARGETS[target](inputs(target)[name])


@st.composite
def bent(draw: st.DrawFn, known: list[bytes]) -> bytes:
    """One of the known inputs with bytes changed, cut out, doubled or added."""
    data = bytearray(draw(st.sampled_from(known)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["change", "cut", "double", "add"])):
            case "change" if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at : at + draw(st.integers(1, 8))]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 8))]
            case _:
                data[at:at] = draw(st.binary(max_size=8))
    return bytes(data)


@pytest.mark.parametrize("target", TARGETS)
def test_an_input_that_is_bent(target: str) -> None:
    known = list(inputs(target).values())

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(bent(known))
    def tried(data: bytes) -> None:
        TARGETS[target](data)

    tried()
