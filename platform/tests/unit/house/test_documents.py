"""What the documents point to is there, and each decision has a number of its own."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "sdk/*.md", "platform/*.md", "examples/**/*.md", "tests/**/*.md")
    for path in ROOT.glob(pattern)
    if "node_modules" not in path.parts
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def links(document: Path) -> Iterator[tuple[Path, str]]:
    """Yield the file and the heading of each link to a file of the project; an empty heading for the whole file."""
    for target in _LINK.findall(document.read_text()):
        if not re.match(r"[a-z]+:", target):
            name, _, heading = target.partition("#")
            yield (document.parent / name if name else document), heading


def anchors(document: Path) -> set[str]:
    """Return the names by which the headings of a document are linked to."""
    plain = (re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading).lower() for heading in _HEADING.findall(document.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def test_there_are_documents() -> None:
    assert len(DOCUMENTS) > 80


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_links_to_is_there(document: Path) -> None:
    lost = [
        f"{file}#{heading}"
        for file, heading in links(document)
        if not file.exists() or (heading and file.suffix == ".md" and heading not in anchors(file))
    ]
    assert not lost


def test_each_decision_has_a_number_of_its_own() -> None:
    numbers = Counter(path.name[:4] for path in (ROOT / "docs/adr").glob("*.md"))
    assert sorted(numbers) == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    assert set(numbers.values()) == {1}


@pytest.mark.parametrize("decision", sorted((ROOT / "docs/adr").glob("*.md")), ids=lambda path: path.name[:4])
def test_a_decision_is_headed_by_its_number(decision: Path) -> None:
    assert decision.read_text().startswith(f"# {int(decision.name[:4])}. ")
