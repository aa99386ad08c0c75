"""An OpenID Connect issuer on this machine: a real HTTP server that publishes real keys, which tests sign with."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

AUDIENCE = "ballast"
DISCOVERY, KEYS = "/.well-known/openid-configuration", "/keys"

KINDS: dict[str, Any] = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "PS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@dataclass
class Published:
    """What the issuer answers with, and what it was asked."""

    url: str = ""
    private: dict[str, Any] = field(default_factory=dict)
    """Private keys by id; the id of each is its algorithm, for tests to choose by."""
    documents: dict[str, Any] = field(default_factory=dict)
    """JSON by path. A path that is not here is answered with 503."""
    asked: list[str] = field(default_factory=list)

    def publish(self, kid: str, algorithm: str) -> None:
        self.private[kid] = KINDS[algorithm]()
        public = get_default_algorithms()[algorithm].to_jwk(self.private[kid].public_key(), as_dict=True)
        self.documents.setdefault(KEYS, {"keys": []})["keys"].append(
            {**public, "kid": kid, "alg": algorithm, "use": "sig"}
        )

    def sign(self, *, kid: str = "RS256", algorithm: str | None = None, key: Any = None, **claims: Any) -> str:
        """A token for ann, as this issuer makes them; a claim that is None is left out."""
        now = int(time.time())
        all_claims = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 300, **claims}
        given = {name: value for name, value in all_claims.items() if value is not None}
        return jwt.encode(given, key or self.private[kid], algorithm=algorithm or kid, headers={"kid": kid})


@contextmanager
def published() -> Iterator[Published]:
    """Serve until left. Every algorithm has a key, made anew."""
    issuer = Published()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            found = issuer.documents.get(self.path)
            body = json.dumps(found).encode() if not isinstance(found, bytes) else found
            self.send_response(200 if found is not None else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.url = f"http://127.0.0.1:{server.server_port}"
        issuer.documents[DISCOVERY] = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}{KEYS}"}
        for algorithm in KINDS:
            issuer.publish(algorithm, algorithm)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        yield issuer
        server.shutdown()
        serving.join()
