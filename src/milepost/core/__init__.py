"""The pure core: facts, entitlement, difference. No clock, no chance, no I/O, no float."""
