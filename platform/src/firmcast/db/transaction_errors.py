"""What every adapter of the port refuses a use case for."""

from firmcast.errors import StoreError


class ForeignAwaitError(StoreError):
    """A use case awaited something other than its transaction."""


class TransactionOverError(StoreError):
    """The transaction was used after its end, or after one of its statements had failed."""
