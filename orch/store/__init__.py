"""The task store: schema, transactions, claims, and the ledger that alone writes state."""
