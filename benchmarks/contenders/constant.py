"""The floor of any answer over HTTP: the server of the API, with nothing behind it but bytes.

Belongs here: a bare application, and one with the framework in front, that answer one text. Does not belong here: any
part of the service. Prints its address as `reco serve --json` does; ends with SIGTERM.
"""

import json
import socket
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from starlette.types import ASGIApp, Receive, Scope, Send

BODY = b'{"text":"' + b"x" * 2_900 + b'"}'  # as long as ten recommendations
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """The same bytes, whatever is asked."""
    del receive
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": BODY})


def framework() -> ASGIApp:
    """The same bytes from one route of the framework."""
    app = FastAPI(openapi_url=None)

    @app.get("/{path:path}")
    async def constant(path: str) -> Response:
        del path
        return Response(BODY, media_type="application/json")

    return app


def main(kind: str) -> None:
    """Serves until it is told to stop."""
    app: Any = bare if kind == "bare" else framework()
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1])
