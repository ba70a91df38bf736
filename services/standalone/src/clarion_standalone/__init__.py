"""All of Clarion in one process, on the memory broker and SQLite."""
