"""The join: events and contracts in, lines and state out, exactly once; docs/EXACTLY_ONCE.md has the protocol."""
