"""The review workflow: tasks, attempts, reviews and decisions. Knows no chat platform and no HTTP."""
