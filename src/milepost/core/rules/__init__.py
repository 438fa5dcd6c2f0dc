"""How money is decided, a rule a module; the numbers are those of the rules' page."""
