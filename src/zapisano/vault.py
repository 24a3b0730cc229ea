"""Secrets at rest: encrypted with a key derived from the secret key of the settings."""

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from zapisano.errors import BrokenSetting
from zapisano.settings import Settings

INFO = b"zapisano bot tokens v1"


class Vault:
    """Encrypts and decrypts tokens. A token leaves it only to be put into a `Bot`."""

    def __init__(self, settings: Settings) -> None:
        """Derive the key.

        Raises:
            BrokenSetting: there is no ZAPISANO_SECRET_KEY.
        """
        settings.require("secret_key")
        secret = settings.secret_key.get_secret_value().encode()
        key = HKDF(SHA256(), 32, salt=None, info=INFO).derive(secret)
        # MultiFernet, so that a later key can be put in front and old tokens still open.
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(key))])

    def lock(self, token: str) -> bytes:
        """Encrypt a token."""
        return self._fernet.encrypt(token.encode())

    def unlock(self, sealed: bytes) -> str:
        """Decrypt a token.

        Raises:
            BrokenSetting: it was encrypted with another ZAPISANO_SECRET_KEY.
        """
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken as error:
            raise BrokenSetting(
                "ZAPISANO_SECRET_KEY: is not the one that the bots' tokens were encrypted with"
            ) from error
