"""Milepost bills outcomes: events joined with a contract become invoice lines, exactly once."""

__version__ = "0.1.0"
