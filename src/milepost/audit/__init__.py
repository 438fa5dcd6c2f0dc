"""What the records alone prove: a line's arithmetic, a milestone's open ends, an unbroken audit trail.

Pure functions of outputs; whoever holds the records (the ledger, files, a dossier) can ask them.
"""
