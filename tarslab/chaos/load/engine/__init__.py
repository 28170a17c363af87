"""The embedded engine: a process of its own that sends the requests."""
