"""A tree as a file system through libfuse; only ``_loop`` imports what has to be installed for that."""
