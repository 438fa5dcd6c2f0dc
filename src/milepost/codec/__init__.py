"""Bytes and JSON of the topics: schemas, wire format, topics, records. `schemas/` is the source of truth."""
