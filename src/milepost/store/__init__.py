"""Where a partition's state lives between batches. A store offers `core.parts.Parts` and `apply`."""
