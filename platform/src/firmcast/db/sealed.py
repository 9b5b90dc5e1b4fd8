"""What a table has sealed is opened with one key and sealed with another, by who need not know what it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from firmcast.db.port import Row, Transaction
from firmcast.db.statement import Statement
from firmcast.errors import StartError
from firmcast.sealing import Sealer

ROWS_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedTable:
    """The sealed columns of a table, declared by who owns it."""

    name: str
    purposes: Mapping[str, str]
    """For which purpose each column is sealed, in the order of both statements."""
    page: Statement
    """Returns key and columns of the rows after the key ?1, at most ?2 of them, in the order of the keys."""
    write: Statement
    """Writes the columns ?2 … of the row with the key ?1."""


async def reseal(tx: Transaction, table: SealedTable, present: Sealer, new: Sealer) -> int:
    """Seal with `new` all that `present` has sealed in a table, and return how many values that were.

    Raises:
        StartError: one of them does not open; it is named.
    """
    count = 0
    after = ""
    while rows := await tx.fetch(table.page, after, ROWS_AT_ONCE):
        written = [(row[0], *_sealed_anew(table, row, present, new)) for row in rows]
        await tx.execute_many(table.write, written)
        count += sum(bool(value) for row in written for value in row[1:])
        after = rows[-1][0]
    return count


def _sealed_anew(table: SealedTable, row: Row, present: Sealer, new: Sealer) -> Sequence[bytes | None]:
    values: list[bytes | None] = []
    for (column, purpose), sealed in zip(table.purposes.items(), row[1:], strict=True):
        if not sealed:  # NULL or empty, as the column says that there is none
            values.append(sealed)
            continue
        try:
            clear = present.open(bytes(sealed), purpose)
        except StartError:
            message = f"{table.name} {row[0]}: {column} does not open with the key of the store; nothing was changed"
            raise StartError(message) from None
        values.append(new.seal(clear, purpose))
    return values
