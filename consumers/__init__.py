"""Processes that read topics; what each does is the package of the same name under `src/milepost`."""
