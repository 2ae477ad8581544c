"""A client of the HTTP service for programs in Python: the routes as methods, answers with types, problems as errors.

Belongs here: asking the service. Does not belong here: anything the service is made of; it needs the standard library
alone, so that a shop can import `reco.client` wherever Python runs.
"""

from reco.client.client import Client, Controls
from reco.client.documents import Answer, Recommendation

__all__ = ["Answer", "Client", "Controls", "Recommendation"]
