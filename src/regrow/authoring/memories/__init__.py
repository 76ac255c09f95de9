"""Agents' memories as their authors use them: named, versioned, durable at every write, shared by runs."""
