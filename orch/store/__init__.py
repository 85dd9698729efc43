"""The task store: schema, transactions, claims, and the ledger that alone writes state."""

from orch.store import tables_waits as tables_waits  # its tables belong to `schema.metadata`
