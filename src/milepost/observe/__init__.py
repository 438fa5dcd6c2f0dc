"""What operators see of a process: logs on stderr, metrics over HTTP."""
