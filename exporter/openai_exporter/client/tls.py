# SPDX-License-Identifier: Apache-2.0
"""TLS settings of outgoing connections, which accept no unverified server; the system's authorities."""

import ssl
from pathlib import Path

# Where distributions keep their bundle when the interpreter's OpenSSL looks elsewhere.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def client_context() -> ssl.SSLContext:
    """A verifying context with the system's authorities; SSL_CERT_FILE and SSL_CERT_DIR are honoured by OpenSSL.

    Takes some tens of milliseconds: make it once, outside of anything that is timed.
    """
    context = ssl.create_default_context()
    add_bundle(context)
    context.set_alpn_protocols(["http/1.1"])
    return context


def add_bundle(context: ssl.SSLContext) -> None:
    """Load the distribution's bundle of authorities when OpenSSL finds none in its own places."""
    paths = ssl.get_default_verify_paths()
    if not paths.cafile and not _has_certificates(paths.capath):
        found = next((name for name in BUNDLES if Path(name).is_file()), None)
        if found is not None:
            context.load_verify_locations(cafile=found)


def reason(error: ssl.SSLError) -> str:
    """A short sentence for a failed handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate was not accepted: {error.verify_message}"
    words = (error.reason or "unknown").replace("_", " ").lower()
    return f"the TLS handshake failed: {words}"


def _has_certificates(folder: str | None) -> bool:
    if not folder:
        return False
    try:
        return any(path.suffix == ".0" for path in Path(folder).iterdir())
    except OSError:
        return False
