"""One bucket of an S3 object store.

Belongs here: listing, getting and putting objects, and what the store's errors mean. Does not belong here: what an
object holds, or which one is wanted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from reco.errors import ObjectNotFound, ObjectStoreRefused, ObjectStoreUnavailable

CONNECT_SECONDS = 5
ANSWER_SECONDS = 30
_MISSING = {"NoSuchKey", "404"}
_REFUSED = {
    "403",
    "AccessDenied",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "NoSuchBucket",
    "SignatureDoesNotMatch",
}


@dataclass(frozen=True)
class ObjectInfo:
    """One object: `etag` is another one when its content is."""

    key: str
    size_bytes: int
    etag: str


@cache
def shared_store(bucket: str, endpoint_url: str | None) -> "ObjectStore":
    """The store of these settings, made once a process: making its client takes a tenth of a second."""
    return ObjectStore(bucket, endpoint_url)


class ObjectStore:
    """A bucket; credentials come from where the AWS tools look for them."""

    def __init__(self, bucket: str, endpoint_url: str | None = None) -> None:
        self.bucket = bucket
        # A session of its own: the shared one is not made for threads, and keeps the first credentials it found.
        self._client: Any = boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint_url,
            config=Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=ANSWER_SECONDS,
                retries={"max_attempts": 2, "mode": "standard"},
                # A store of one's own seldom has a DNS name for each bucket.
                s3={"addressing_style": "path" if endpoint_url else "auto"},
            ),
        )

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """The objects under a prefix, in the order of their keys.

        Raises:
            ObjectStoreUnavailable, ObjectStoreRefused: it does not answer; it says no.
        """
        with self._errors(prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for one in page.get("Contents", ()):
                    yield ObjectInfo(one["Key"], one["Size"], one["ETag"].strip('"'))

    def exists(self, key: str) -> bool:
        """Whether there is an object of this key."""
        try:
            with self._errors(key):
                self._client.head_object(Bucket=self.bucket, Key=key)
        except ObjectNotFound:
            return False
        return True

    def get(self, key: str, path: Path) -> None:
        """Writes an object's bytes to a file.

        Raises:
            ObjectNotFound: there is no such object.
        """
        with self._errors(key):
            self._client.download_file(self.bucket, key, str(path))

    def put(self, path: Path, key: str) -> None:
        """Makes an object of a file; readers see all of it or none."""
        with self._errors(key):
            self._client.upload_file(str(path), self.bucket, key)

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        place = f"s3://{self.bucket}/{key}"
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _MISSING:
                raise ObjectNotFound(f"{place} does not exist.", hint="It was removed after it was listed.") from error
            if code in _REFUSED:
                raise _refused(place, code, self.bucket) from error
            raise _unavailable(place, str(error)) from error
        except NoCredentialsError as error:
            raise _refused(place, "there are no credentials", self.bucket) from error
        except BotoCoreError as error:
            raise _unavailable(place, str(error)) from error


def _refused(place: str, reason: str, bucket: str) -> ObjectStoreRefused:
    return ObjectStoreRefused(
        f"The object store refuses {place}: {reason}.",
        hint=f"Check the AWS credentials, their rights on bucket {bucket}, and RECO_S3_ENDPOINT_URL.",
        settings=["RECO_INBOX", "RECO_S3_ENDPOINT_URL"],
    )


def _unavailable(place: str, reason: str) -> ObjectStoreUnavailable:
    return ObjectStoreUnavailable(
        f"The object store cannot be reached for {place}: {reason}.",
        hint="Check that it runs and that RECO_S3_ENDPOINT_URL names it.",
    )
