"""Calls to other people's servers over HTTP: only where the operator lets them go, and never for long."""
