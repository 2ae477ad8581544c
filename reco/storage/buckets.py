"""The bucket that the settings name, or the one of the embedded S3 server.

Belongs here: which bucket is meant, where, and with which credentials. Does not belong here: objects (`objects`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from reco.errors import ConfigError
from reco.settings import Settings


@dataclass(frozen=True)
class Bucket:
    """Where a bucket is. Without keys, credentials come from where the AWS tools look; without a URL, it is at AWS.

    compact: is told how many bytes were freed and gives their room back to the disk; None where that is not ours to do.
    """

    name: str
    endpoint_url: str | None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    embedded: bool = False
    compact: Callable[[int], None] | None = field(default=None, repr=False)


@contextmanager
def lease_bucket(settings: Settings) -> Iterator[Bucket]:
    """The bucket of the settings; without `s3_bucket`, the block holds a lease on the embedded server of the home.

    The embedded bucket exists when the block is entered, with versioning and object lock. One that the settings name is
    not asked for.

    Raises:
        ObjectStoreUnavailable: the embedded server could not be started.
        ConfigError: production has no bucket.
    """
    if settings.s3_bucket is not None:
        yield Bucket(settings.s3_bucket, settings.s3_endpoint_url)
        return
    if settings.profile == "production":
        raise ConfigError(
            "RECO_PROFILE=production needs RECO_S3_BUCKET: the embedded S3 server is for one local machine.",
            hint="Set RECO_S3_BUCKET to a bucket of an object store, and RECO_S3_ENDPOINT_URL if it is not AWS.",
            settings=["RECO_S3_BUCKET"],
        )
    from reco.local.seaweed import EmbeddedS3  # noqa: PLC0415 - only those that store objects need it

    server = EmbeddedS3(settings.home)
    with server.lease() as endpoint:
        keys = endpoint.access_key, endpoint.secret_key
        yield Bucket(endpoint.bucket, endpoint.url, *keys, embedded=True, compact=server.compact)
