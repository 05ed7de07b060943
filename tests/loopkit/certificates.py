"""Certificates for tests: made once per run by the openssl command, in a folder of their own."""

import functools
import pathlib
import ssl
import subprocess
import tempfile

FOLDER = tempfile.TemporaryDirectory(prefix="conbrio-certificates-")
EXPIRED = str(pathlib.Path(__file__).with_name("expired.pem"))


def openssl(*words: str) -> None:
    """Run the openssl command."""
    subprocess.run(["openssl", *words], check=True, capture_output=True)


@functools.cache
def made(name: str) -> tuple[str, str]:
    """Return the files of a self-signed certificate for ``name`` and of its key."""
    folder = pathlib.Path(FOLDER.name)
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    made_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout"]
    openssl("req", "-x509", *made_key, str(key), "-out", str(cert), *subject)
    return str(cert), str(key)


def files(name: str, *, expired: bool) -> tuple[str, str]:
    """Return the files of a certificate for ``name`` and of its key.

    The expired one, for localhost, was made by the command of OpenSSL 3.4 with ``-not_after``,
    which older ones do not have.
    """
    return (EXPIRED, EXPIRED) if expired else made(name)


def server(name: str = "localhost", *, expired: bool = False) -> ssl.SSLContext:
    """Return a server's context with a certificate for ``name``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files(name, expired=expired))
    return context


def client(name: str = "localhost", *, expired: bool = False) -> ssl.SSLContext:
    """Return a client's context that trusts the certificate for ``name``."""
    return ssl.create_default_context(cafile=files(name, expired=expired)[0])
