"""The folder of a local service's certificates and passwords."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path

from infra.security.files import kept_password, private_folder
from streams.kafka_security import KafkaSecurity

BROKER, ADMIN, REDIS = "broker", "admin", "redis"
"""Names on certificates, and users: what a broker is to others, who may do everything, and the user of Redis."""


@dataclass(frozen=True)
class Keys:
    """Names the files of the folder."""

    folder: Path

    @classmethod
    def kept_in(cls, folder: Path, now: dt.datetime) -> Keys:
        """Return the folder's keys; what is absent is made, what ends soon is made anew, all else is kept."""
        from infra.security.certificates import Authority  # here, since only a start needs cryptography

        keys = cls(private_folder(folder))
        private_folder(folder / "passwords")
        authority = Authority.kept_in(folder, now)
        for name in (BROKER, ADMIN, REDIS):
            authority.keep(keys.certificate(name), name, now)
        return keys

    @property
    def ca(self) -> Path:
        """Return the file by which clients know the services."""
        return self.folder / "ca.pem"

    def certificate(self, name: str) -> Path:
        """Return the file with a key and its certificate."""
        return self.folder / f"{name}.pem"

    def password_file(self, user: str) -> Path:
        """Return the file with a user's password."""
        return self.folder / "passwords" / user

    def password(self, user: str) -> str:
        """Return a user's password, made at the first call."""
        return kept_password(self.password_file(user))

    def admin(self) -> KafkaSecurity:
        """Return how the administrator reaches the listener for certificates."""
        return KafkaSecurity("SSL", ca_file=str(self.ca), certificate_file=str(self.certificate(ADMIN)))

    def redis_users(self) -> str:
        """Return the users of Redis in the form of its ACL file: one, by a hash, who may read and write."""
        digest = hashlib.sha256(self.password(REDIS).encode()).hexdigest()
        return f"user default off\nuser {REDIS} on #{digest} ~* resetchannels -@all {REDIS_RIGHTS}\n"


REDIS_RIGHTS = "+@read +@write +@transaction +@connection -@dangerous"
"""What the store does; flushing, KEYS and changing the server are not among it."""
