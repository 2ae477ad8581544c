"""Calls to an object store that are tried again within bounds, and not at all while it is known to be away.

Belongs here: which errors of a store are worth another try, how long one goes on, and what they mean. Does not belong
here: the calls themselves (`reco.storage.objects`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import stamina
import structlog
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from purgatory import SyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState
from urllib3.exceptions import HTTPError

from reco.errors import ObjectExists, ObjectNotFound, ObjectStoreRefused, ObjectStoreUnavailable, RecoError

log = structlog.get_logger(__name__)

_MISSING = {"NoSuchKey", "404", "NoSuchUpload", "NoSuchVersion"}
_CONDITION = {"PreconditionFailed", "412", "ConditionalRequestConflict"}
_AGAIN = {
    "BadDigest",  # the bytes changed on their way
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "RequestTimeTooSkewed",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}
_CANNOT = {"NotImplemented", "MethodNotAllowed"}
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


@dataclass(frozen=True)
class Patience:
    """How often and how long one call is tried, and when a store counts as away.

    attempts and seconds bound one call together; wait_seconds is the first pause, doubled and jittered up to five
    seconds. After `failures` calls in a row have failed for good, calls fail at once for `away_seconds`.
    """

    attempts: int = 10
    seconds: float = 60.0
    wait_seconds: float = 0.2
    failures: int = 3
    away_seconds: float = 30.0


def _told(details: stamina.instrumentation.RetryDetails) -> None:
    """A try that will be made again is no news for a person; one that was the last is raised."""
    log.info(
        "object_store_retry", number=details.retry_num, wait_seconds=details.wait_for, reason=repr(details.caused_by)
    )


stamina.instrumentation.set_on_retry_hooks([_told])


class Steady:
    """Tries calls to one bucket. Errors come out as ours."""

    def __init__(self, bucket: str, endpoint: str, patience: Patience) -> None:
        self._bucket = bucket
        self._endpoint = endpoint
        self.patience = patience
        # Its state is this process's own: kept elsewhere, it would be one more thing that can be away.
        self._breakers = SyncCircuitBreakerFactory(
            default_threshold=patience.failures,
            default_ttl=patience.away_seconds,
            exclude=[(RecoError, lambda error: not isinstance(error, ObjectStoreUnavailable))],
        )

    def call(self, key: str, function: Callable[..., Any], **arguments: Any) -> Any:
        """The answer of one call.

        Raises:
            ObjectNotFound: there is no such object.
            ObjectExists: a condition of the call does not hold.
            ObjectStoreRefused: no such bucket, or no right.
            ObjectStoreUnavailable: no answer after all tries, or the store is known to be away.
        """
        try:
            with self._breakers.get_breaker(self._bucket):
                return self._tried(key, function, arguments)
        except OpenedState:
            raise self._unavailable(key, "it did not answer a moment ago") from None

    def broken(self, key: str, error: BaseException) -> ObjectStoreUnavailable:
        """The error for an answer that broke off."""
        return self._unavailable(key, str(error) or type(error).__name__)

    def _tried(self, key: str, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        for attempt in stamina.retry_context(
            on=ObjectStoreUnavailable,
            attempts=self.patience.attempts,
            timeout=timedelta(seconds=self.patience.seconds),
            wait_initial=self.patience.wait_seconds,
            wait_jitter=self.patience.wait_seconds,
        ):
            with attempt:
                try:
                    return function(**arguments)
                except (ClientError, BotoCoreError, HTTPError) as error:
                    raise self._meaning(key, error) from error
        raise AssertionError("a retry context ends by a return or an error")

    def _meaning(self, key: str, error: Exception) -> RecoError:
        place = f"s3://{self._bucket}/{key}"
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return self._refused(place, "there are no credentials")
        if not isinstance(error, ClientError):
            return self._unavailable(key, str(error))
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _MISSING:
            return ObjectNotFound(f"{place} does not exist.", hint="It was removed after it was listed, or never made.")
        if code in _CONDITION:
            return ObjectExists(f"{place} is there already, or was changed meanwhile.", hint="Look at it, then decide.")
        passing = code in _AGAIN or status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR
        if passing and code not in _CANNOT:
            return self._unavailable(key, str(error))
        return self._refused(place, code or str(error))

    def _refused(self, place: str, reason: str) -> ObjectStoreRefused:
        return ObjectStoreRefused(
            f"The object store refuses {place}: {reason}.",
            hint=f"Check the AWS credentials, their rights on bucket {self._bucket}, and RECO_S3_ENDPOINT_URL.",
            settings=["RECO_INBOX", "RECO_S3_BUCKET", "RECO_S3_ENDPOINT_URL"],
        )

    def _unavailable(self, key: str, reason: str) -> ObjectStoreUnavailable:
        return ObjectStoreUnavailable(
            f"The object store at {self._endpoint} cannot be reached for s3://{self._bucket}/{key}: {reason}.",
            hint="Check that it runs and that RECO_S3_ENDPOINT_URL names it, then try again.",
        )
