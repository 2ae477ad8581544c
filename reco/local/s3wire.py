"""Asks the S3 server on this machine a few signed questions.

Belongs here: what tells whether it is up and ours, and making its bucket. Does not belong here: objects; those are for
the S3 client.
"""

import http.client

from reco.local import wire
from reco.local.endpoint import S3Endpoint

TIMEOUT_SECONDS = 10.0
REGION = "us-east-1"
OK, MISSING, FORBIDDEN = 200, 404, 403
EXISTS = 409


def ask(endpoint: S3Endpoint, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Sends one request signed with the endpoint's credentials; returns the status and the body.

    Raises:
        OSError: no answer, or none in HTTP.
    """
    # Not at the top: these take a tenth of a second, and a home may never use its S3 server.
    from botocore.auth import S3SigV4Auth  # noqa: PLC0415
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415

    request = AWSRequest(method, endpoint.url + path, headers=headers or {}, data=b"")
    S3SigV4Auth(Credentials(endpoint.access_key, endpoint.secret_key), "s3", REGION).add_auth(request)
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, path, headers=dict(request.headers.items()))
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"the answer is not HTTP: {error!r}") from error
    finally:
        connection.close()


def probe(endpoint: S3Endpoint) -> wire.Probe:
    """Who listens there. Only our server knows the credentials, so `ready` means it is ours."""
    try:
        status, _ = ask(endpoint, "GET", "/")
    except OSError:
        return wire.Probe("absent")
    if status == OK:
        return wire.Probe("ready")
    return wire.Probe("refused" if status == FORBIDDEN else "loading")


def has_bucket(endpoint: S3Endpoint) -> bool:
    """Whether the endpoint's bucket exists.

    Raises:
        OSError: the server does not answer, or says something else.
    """
    status, _ = ask(endpoint, "HEAD", f"/{endpoint.bucket}")
    if status not in {OK, MISSING}:
        raise ConnectionError(f"the server answered {status} when asked for bucket {endpoint.bucket}")
    return status == OK


def make_bucket(endpoint: S3Endpoint) -> None:
    """Makes the bucket with versioning and object lock; no object is locked before somebody asks for it.

    Raises:
        OSError: the server does not answer, or refuses.
    """
    status, body = ask(endpoint, "PUT", f"/{endpoint.bucket}", {"x-amz-bucket-object-lock-enabled": "true"})
    if status not in {OK, EXISTS}:
        said = body.decode("utf-8", "replace")
        raise ConnectionError(f"the server answered {status} when told to make bucket {endpoint.bucket}: {said}")
