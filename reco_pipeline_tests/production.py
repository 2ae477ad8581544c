"""The settings of a shop in production, with everything it needs but an API key.

Belongs here: the values. Does not belong here: any claim.
"""

import pyrage

WHOLE = {
    "RECO_PROFILE": "production",
    "RECO_REDIS_URL": "redis://127.0.0.1:1/0",
    "RECO_S3_BUCKET": "backups",
    "RECO_BACKUP_RECIPIENTS": str(pyrage.x25519.Identity.generate().to_public()),
    "RECO_PRIVACY_KEY": "planted-privacy-key",
    "RECO_API_PEPPERS": "1:planted-pepper-of-keys",
}
