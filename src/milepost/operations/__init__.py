"""What operators and auditors run beside the processes: comparing, folding again, replaying dead letters."""
