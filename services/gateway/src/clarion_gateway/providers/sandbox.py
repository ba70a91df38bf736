"""The key that the sandbox signs as SendGrid with: it follows from a secret that both know."""

from __future__ import annotations

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def public_key(secret: str) -> str:
    """Return the verification key that belongs to the sandbox's secret."""
    curve = ec.SECP256R1()
    number = int.from_bytes(hashlib.sha256(secret.encode()).digest()) % (curve.group_order - 1) + 1
    key = ec.derive_private_key(number, curve).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()
