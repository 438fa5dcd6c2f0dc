"""The pipeline in one process, and the example engagements played through it."""
