"""Whether a role answers: exit code 0 where it does, 1 with the reason where it does not.

    healthy.py http://127.0.0.1:3000/server_info    answered with a success
    healthy.py tcp://127.0.0.1:4000                 takes connections

Belongs here: probes that cost milliseconds. Nothing of ours is imported: Dagster's own probe of a code server needs two
seconds of processor time, each time.
"""

import http.client
import socket
import sys
from urllib.parse import urlsplit

SECONDS = 4


def probe(address: str) -> str:
    """Why it does not answer, or nothing."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or 80
    try:
        if parts.scheme == "tcp":
            socket.create_connection((host, port), SECONDS).close()
            return ""
        connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
        connection.request("GET", parts.path or "/")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{address}: {error}"
    return "" if status < 300 else f"{address}: status {status}"


if __name__ == "__main__":
    sys.exit(probe(sys.argv[1]) or 0)
