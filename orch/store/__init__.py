"""The task store: schema, transactions, claims, and the ledger that alone writes state."""

# So that whoever knows the tables knows all of them: each file of them adds its own to `metadata`.
from orch.store import tables_notices as tables_notices
from orch.store import tables_outside as tables_outside
from orch.store import tables_people as tables_people
from orch.store import tables_waits as tables_waits
