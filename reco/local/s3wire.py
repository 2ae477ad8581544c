"""Asks the S3 server on this machine a few signed questions.

Belongs here: what tells whether it is up, ours and at work, and making its bucket. Does not belong here: objects; those
are for the S3 client.
"""

import http.client
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from reco.local import wire
from reco.local.endpoint import S3Endpoint

TIMEOUT_SECONDS = 10.0
REGION = "us-east-1"
OK, MISSING, FORBIDDEN = 200, 404, 403
EXISTS, GONE = 409, 204
PROBE = ".reco-ready"


@dataclass(frozen=True)
class Answer:
    """What the server said; the names of the header fields are in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def ask(
    endpoint: S3Endpoint, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> Answer:
    """Sends one request signed with the endpoint's credentials.

    Raises:
        OSError: no answer, or none in HTTP.
    """
    # Not at the top: these take a tenth of a second, and a home may never use its S3 server.
    from botocore.auth import S3SigV4Auth  # noqa: PLC0415
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415

    request = AWSRequest(method, endpoint.url + path, headers=headers or {}, data=body)
    S3SigV4Auth(Credentials(endpoint.access_key, endpoint.secret_key), "s3", REGION).add_auth(request)
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, path, body, dict(request.headers.items()))
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()})
    except http.client.HTTPException as error:
        raise ConnectionError(f"the answer is not HTTP: {error!r}") from error
    finally:
        connection.close()


def probe(endpoint: S3Endpoint) -> wire.Probe:
    """Who listens there. Only our server knows the credentials, so `ready` means it is ours."""
    try:
        status = ask(endpoint, "GET", "/").status
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
    status = ask(endpoint, "HEAD", f"/{endpoint.bucket}").status
    if status not in {OK, MISSING}:
        raise ConnectionError(f"the server answered {status} when asked for bucket {endpoint.bucket}")
    return status == OK


def make_bucket(endpoint: S3Endpoint) -> None:
    """Makes the bucket with versioning and object lock; no object is locked before somebody asks for it.

    Raises:
        OSError: the server does not answer, or refuses.
    """
    answer = ask(endpoint, "PUT", f"/{endpoint.bucket}", {"x-amz-bucket-object-lock-enabled": "true"})
    if answer.status not in {OK, EXISTS}:
        said = answer.body.decode("utf-8", "replace")
        raise ConnectionError(f"the server answered {answer.status} when told to make bucket {endpoint.bucket}: {said}")


def keeps_objects(endpoint: S3Endpoint) -> bool:
    """Whether a small object that is put comes back; nothing of it is left.

    After its start the server answers requests seconds before it can write or read an object's bytes.

    Raises:
        OSError: the server does not answer at all.
    """
    content = secrets.token_bytes(1024)
    path = f"/{endpoint.bucket}/{PROBE}"
    try:
        made = ask(endpoint, "PUT", path, body=content)
        if made.status != OK:
            return False
        found = ask(endpoint, "GET", path)
        version = made.headers.get("x-amz-version-id", "")
        gone = ask(endpoint, "DELETE", f"{path}?versionId={version}" if version else path)
    except TimeoutError:
        return False
    return (found.status, found.body) == (OK, content) and gone.status in {OK, GONE}
