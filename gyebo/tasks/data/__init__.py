"""Where a task's examples come from: files, the hub, the embedded world; their checks."""
