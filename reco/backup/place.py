"""Opening the backups that the settings name.

Belongs here: from settings to a vault, for the bucket and for the replica. Does not belong here: using it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from reco.backup.keys import Keyring
from reco.backup.vault import Vault
from reco.errors import ConfigError
from reco.settings import Settings
from reco.storage.buckets import lease_bucket
from reco.storage.objects import Credentials, ObjectStore, s3_client


@contextmanager
def open_vault(settings: Settings, *, make_key: bool = False, replica: bool = False) -> Iterator[Vault]:
    """The backups of these settings; without a bucket, those on the embedded server, which is leased for the block.

    Raises:
        BackupKeyWrong: a key does not parse.
        ConfigError: there is no bucket in production, or no replica where it is asked for.
        ObjectStoreUnavailable: the embedded server does not start.
    """
    keys = Keyring.of(settings, make=make_key)
    if replica:
        yield Vault(replica_store(settings), settings.namespace, keys)
        return
    with lease_bucket(settings) as bucket:
        given = Credentials(bucket.access_key, bucket.secret_key) if bucket.access_key and bucket.secret_key else None
        client = s3_client(bucket.endpoint_url, given)
        store = ObjectStore(bucket.name, bucket.endpoint_url, client=client)
        yield Vault(store, settings.namespace, keys, bucket.compact)


def replica_store(settings: Settings) -> ObjectStore:
    """The second bucket.

    Raises:
        ConfigError: none is set.
    """
    if settings.s3_replica_bucket is None:
        raise ConfigError(
            "There is no second bucket: RECO_S3_REPLICA_BUCKET is not set.",
            hint="Set it to a bucket of another region or account, with RECO_S3_REPLICA_ENDPOINT_URL if it is not AWS.",
            settings=["RECO_S3_REPLICA_BUCKET"],
        )
    secret, key_id = settings.s3_replica_secret_access_key, settings.s3_replica_access_key_id
    given = Credentials(key_id, secret.get_secret_value()) if key_id and secret else None
    url = settings.s3_replica_endpoint_url
    return ObjectStore(settings.s3_replica_bucket, url, client=s3_client(url, given))
