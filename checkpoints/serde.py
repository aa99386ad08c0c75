"""How checkpoint values become bytes: strict msgpack, encrypted when a key is set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import SecretStr

from graph.errors import BadSetting, CheckpointUnreadable

KEY_BYTES = (16, 24, 32)


def serializer(key: SecretStr | None) -> SerializerProtocol:
    """Strict: only LangGraph's own safe types (messages included) are revived, everything else is refused.

    Our state is made of dicts, lists and messages, so no further type is allow-listed.

    Raises:
        BadSetting: the key is not 16, 24 or 32 bytes long, or what encrypts is not installed.
    """
    strict = JsonPlusSerializer(pickle_fallback=False, allowed_json_modules=None, allowed_msgpack_modules=None)
    if key is None:
        return Readable(strict)
    secret = key.get_secret_value().encode()
    if len(secret) not in KEY_BYTES:
        raise BadSetting(f"BALLAST_ENCRYPTION_KEY must be 16, 24 or 32 bytes long, it has {len(secret)}")
    try:
        return Readable(EncryptedSerializer.from_pycryptodome_aes(strict, key=secret))
    except ImportError:
        raise BadSetting("BALLAST_ENCRYPTION_KEY needs one more package: pip install 'ballast[encryption]'") from None


class Readable(SerializerProtocol):
    """Turns what an unreadable value raises (a wrong key, a missing one, damage) into one clear error."""

    def __init__(self, serde: SerializerProtocol) -> None:
        self.serde = serde

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """See SerializerProtocol."""
        return self.serde.dumps_typed(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """See SerializerProtocol.

        Raises:
            CheckpointUnreadable: another key, or none, was in use when it was written.
        """
        kind = data[0]
        load: Callable[[tuple[str, bytes]], Any] = self.serde.loads_typed
        if "+" in kind and not isinstance(self.serde, EncryptedSerializer):
            raise CheckpointUnreadable(
                "this thread is encrypted: set BALLAST_ENCRYPTION_KEY to the key it was written with"
            )
        try:
            return load(data)
        except (ValueError, KeyError) as error:
            if "+" in kind:
                raise CheckpointUnreadable("this thread was encrypted with another BALLAST_ENCRYPTION_KEY") from error
            raise
