"""The operator's own key: one Secret in its namespace, made once. Attempts' tokens are recomputed from it, not read back."""

import base64
import secrets
from typing import Final

from farthing.contract.handshake import control_token
from farthing.errors import Conflict, Refused
from farthing.kube.client import Client
from farthing.kube.resources import SECRETS

SECRET: Final = "farthing-operator-key"  # noqa: S105 - the name of an object, not a secret
KEY: Final = "key"
KEY_BYTES: Final = 32


class OperatorKey:
    """The key in memory. The UID that tokens are made of is the SpendRecord's: it exists before the attempt's Secret does."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def token(self, record_uid: str) -> str:
        """The bearer token of the attempt with this spend record."""
        return control_token(self._key, record_uid)


async def load_operator_key(client: Client, namespace: str) -> OperatorKey:
    """Read the key, or make it. Raises Refused where the Secret is there without a usable key."""
    path = SECRETS.path(namespace, SECRET)
    secret = await client.get(path)
    if secret is None:
        try:
            secret = await client.create(SECRETS.path(namespace), _manifest(namespace), fenced=False)
        except Conflict:
            secret = await client.get(path)
    encoded = ((secret or {}).get("data") or {}).get(KEY, "")
    key = base64.b64decode(encoded)
    if len(key) < KEY_BYTES:
        raise Refused(f"Secret {namespace}/{SECRET} has no {KEY} of {KEY_BYTES} bytes; delete it, and a new one will be made")
    return OperatorKey(key)


def _manifest(namespace: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": namespace},
        "type": "Opaque",
        "data": {KEY: base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()},
    }
