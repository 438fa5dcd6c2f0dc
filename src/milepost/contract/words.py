"""The words that a value of the contract language may be, where it is one of a few."""

__all__ = [
    "AMENDMENT_MODES",
    "BILL",
    "BILL_ON",
    "CAP_BASES",
    "CLAWBACK_BASES",
    "EXEMPT",
    "HOUR_UNITS",
    "ORDERS",
    "OUTCOMES",
    "REPEATS",
    "ROUNDINGS",
    "RUNGS",
    "STATUSES",
    "SUCCESS_MODES",
]

AMENDMENT_MODES = ("prospective", "catch_up", "separate")
BILL = ("monthly",)
BILL_ON = ("next_invoice", "immediately")
CAP_BASES = ("original", "revised")
CLAWBACK_BASES = ("flat", "linear")
EXEMPT = ("milestones", "success_fees", "time_and_materials")
HOUR_UNITS = ("HUR", "MIN")
ORDERS = ("parallel", "sequential")
OUTCOMES = ("reject", "accept")
REPEATS = ("none", "monthly", "per_filing", "per_occurrence")
ROUNDINGS = ("half_up", "half_even")
# Of a regulator, from the lowest.
RUNGS = ("received", "validated", "accepted")
# Of a KPI's values.
STATUSES = ("any", "provisional", "final")
SUCCESS_MODES = ("marginal", "slab")
