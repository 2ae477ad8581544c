"""Makes the bucket of backups in the store of compose.yaml, with versions, where it is not there yet.

Not for a store that is somebody else's: there whoever owns it makes the bucket.
"""

import os

import boto3
from botocore.exceptions import ClientError


def main() -> None:
    """Makes it once; a second call changes nothing."""
    bucket = os.environ["RECO_S3_BUCKET"]
    s3 = boto3.client("s3", endpoint_url=os.environ["RECO_S3_ENDPOINT_URL"], region_name="us-east-1")
    try:
        s3.create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"BucketAlreadyExists", "BucketAlreadyOwnedByYou"}:
            raise
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


if __name__ == "__main__":
    main()
