"""The production code in a world that a seed decides."""
