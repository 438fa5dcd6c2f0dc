"""The ledger: what the join stated, as rows that people and programs can ask, each exactly once."""
