"""Certificates for servers on loopback: an authority, a server and a client, of the tests alone, until 2126.

Made by ``openssl req`` and ``openssl x509``; the key of the authority was thrown away.
"""

from __future__ import annotations

import ssl
from pathlib import Path

AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBhzCCAS6gAwIBAgIUEnsTZ866/AUyltkaliWo/Br91C8wCgYIKoZIzj0EAwIw
ITEfMB0GA1UEAwwWQXV0aG9yaXR5IG9mIHRoZSB0ZXN0czAgFw0yNjExMjQyMTA5
MTFaGA8yMTI2MTAzMTIxMDkxMVowITEfMB0GA1UEAwwWQXV0aG9yaXR5IG9mIHRo
ZSB0ZXN0czBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABIVJi81ekRhVtKtDVba+
CO22oFrs++UpK2URQTuVxgByPV4FGVfvdytBU1q5ijYxrToxvQBJooBGA51pi/hR
C42jQjBAMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQW
BBTOn6603g7InzvVjFx+atFXyKGdyDAKBggqhkjOPQQDAgNHADBEAiAgx0Nx66dq
kICp8ITJcrsNMm2ncLDRAD/ILzqEzt0BuQIge0WtDRw6C9uAtS2t4YHktboK7Ltg
dOD8bpEevEWEzoU=
-----END CERTIFICATE-----
"""

SERVER = """\
-----BEGIN CERTIFICATE-----
MIIBpDCCAUqgAwIBAgIUUR9yoCtZ1MVy6rur6Bw4UEKhWSowCgYIKoZIzj0EAwIw
ITEfMB0GA1UEAwwWQXV0aG9yaXR5IG9mIHRoZSB0ZXN0czAgFw0yNjExMjQyMTA5
NTJaGA8yMTI2MTAzMTIxMDk1MlowHjEcMBoGA1UEAwwTc2VydmVyIG9mIHRoZSB0
ZXN0czBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABF8mYIR4Fmk3UZ4ka05D+JVM
JgQnKWZMAUcohHLWWkAeuLGlO34LRH/t6FmmdPf6ls3TBBdEfCb2SoNJXnUilCGj
YTBfMA8GA1UdEQQIMAaHBH8AAAEwDAYDVR0TAQH/BAIwADAdBgNVHQ4EFgQUryXo
tCKWzNM10iXEYc40IRl1chowHwYDVR0jBBgwFoAUzp+utN4OyJ871YxcfmrRV8ih
ncgwCgYIKoZIzj0EAwIDSAAwRQIhAJcE56HiZDWJUio/GC5n9qKx6ywQGdwnOHZg
jXlbYL0dAiA2hg0R3NbB+J8I15oP6tgJBuh0ocR9cvwCga4NxM3Ftg==
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg/P7D68OmjuEmT9Ge
VKJM51P80NPtF3EA4PLQFpN36u+hRANCAARfJmCEeBZpN1GeJGtOQ/iVTCYEJylm
TAFHKIRy1lpAHrixpTt+C0R/7ehZpnT3+pbN0wQXRHwm9kqDSV51IpQh
-----END PRIVATE KEY-----
"""

CLIENT_CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBlDCCATmgAwIBAgIUUR9yoCtZ1MVy6rur6Bw4UEKhWSkwCgYIKoZIzj0EAwIw
ITEfMB0GA1UEAwwWQXV0aG9yaXR5IG9mIHRoZSB0ZXN0czAgFw0yNjExMjQyMTA5
MTFaGA8yMTI2MTAzMTIxMDkxMVowHjEcMBoGA1UEAwwTY2xpZW50IG9mIHRoZSB0
ZXN0czBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCfiCy59b1MAPU7o5wFFDKFt
FhTRVbCm10TbXmkBHEc0SVqSDiJw1UtYvvcF8gM1RliM+/i9lCUc2df+GGmTCxSj
UDBOMAwGA1UdEwEB/wQCMAAwHQYDVR0OBBYEFNv+55+ub4rDBSHLDCTpVjzeaV4t
MB8GA1UdIwQYMBaAFM6frrTeDsifO9WMXH5q0VfIoZ3IMAoGCCqGSM49BAMCA0kA
MEYCIQDYMC5HYpfrQ1r+bdtkgdjmAXRaQoHvt0KpNr8+m1vsEwIhAIhvRa27/QAI
eWJIIRaEBep4z4gLQRjoQCiED9C7NewL
-----END CERTIFICATE-----
"""

CLIENT_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+gdY/W6pYOzE5CKp
OFcT2i120iB6Voc7FHyHhGDQxyWhRANCAAQn4gsufW9TAD1O6OcBRQyhbRYU0VWw
ptdE215pARxHNElakg4icNVLWL73BfIDNUZYjPv4vZQlHNnX/hhpkwsU
-----END PRIVATE KEY-----
"""


def server_context(folder: Path, *, wants_client: bool = False) -> ssl.SSLContext:
    """TLS of a server for ``127.0.0.1``, not for ``localhost``.

    Args:
        folder: where the certificate is written, as ``ssl`` reads files alone.
        wants_client: whether it talks with those only who show a certificate of the authority.
    """
    file = folder / "server.pem"
    file.write_text(SERVER)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    if wants_client:
        context.load_verify_locations(cadata=AUTHORITY)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
