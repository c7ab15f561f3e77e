"""The sources of a task's examples: files, the hub, the built-in world; and checks of examples."""
