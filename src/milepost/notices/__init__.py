"""Notices: what people and systems are told of the join's outputs, by e-mail and signed webhooks, at least once."""
