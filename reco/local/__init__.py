"""The servers one machine runs for itself, each belonging to a home. What is stored in them does not belong here."""
