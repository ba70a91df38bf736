"""A certificate authority for the length of a test, and certificates for servers on loopback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM: who vouches, the server's certificate and key, and somebody else who vouches.

    `wrong_name` and its key are of the same authority and name another host.
    """

    ca: Path
    certificate: Path
    key: Path
    other_ca: Path
    wrong_name: Path
    wrong_name_key: Path


def make_certificates(folder: Path) -> Certificates:
    """Write new certificates into a folder; servers of any user may read them."""
    authority = trustme.CA()
    made = Certificates(
        *(
            folder / f"{name}.pem"
            for name in ("ca", "server", "server_key", "other", "wrong", "wrong_key")
        )
    )
    authority.cert_pem.write_to_path(made.ca)
    trustme.CA().cert_pem.write_to_path(made.other_ca)
    for names, certificate, key in (
        (("127.0.0.1", "localhost"), made.certificate, made.key),
        (("elsewhere.test",), made.wrong_name, made.wrong_name_key),
    ):
        issued = authority.issue_cert(*names)
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
    return made
