"""The work of the recommendation pipeline as a plain Python library.

Belongs here: everything that can be done without an orchestrator. Does not belong here: any import of Dagster.
"""

__version__ = "0.2.0"
