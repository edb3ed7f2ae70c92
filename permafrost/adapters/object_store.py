"""An S3 endpoint, asked once whether it is what the site file says; nothing is written.

The request is signed as AWS describes it ("Signature Version 4"): it lists the bucket, which tells
an endpoint that is dead, another certificate, a wrong key and a missing bucket apart.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime

from model_registry.http import httpx
from permafrost.engine.object_store import external_store, object_store_ca, object_store_secret
from permafrost.errors import Problem
from permafrost.site.load import LoadedSite
from permafrost.site.object_store import HERE, ObjectStore

QUERY = "list-type=2&max-keys=1"
TIMEOUT_S = 5.0
NOTHING = hashlib.sha256(b"").hexdigest()
_CODE = re.compile(r"<Code>([A-Za-z]+)</Code>")


def probe_object_store(loaded: LoadedSite) -> tuple[Problem, ...]:
    """Return what speaks against the site's external object store; nothing where it has none."""
    store = external_store(loaded)
    if store is None:
        return ()
    problem = probe(store, object_store_secret(loaded), object_store_ca(loaded))
    return () if problem is None else (problem,)


def probe(store: ObjectStore, secret: str, ca: str) -> Problem | None:
    """Ask an endpoint for its bucket; ``ca``: PEM of the only authority, or empty."""
    try:
        # Between certificates a file says whose they are, in any language; ssl takes ASCII alone.
        trust = ssl.create_default_context(cadata=ca.encode("ascii", "ignore").decode() or None)
    except ssl.SSLError as error:
        return _problem("CERTIFICATE", store, f"the authority is none: {error}", "ca_file")
    url = f"{store.place}?{QUERY}"
    try:
        answer = httpx.get(
            url,
            headers=signed(store, secret, datetime.now(UTC)),
            timeout=TIMEOUT_S,
            verify=trust,
            trust_env=False,
        )
    except httpx.HTTPError as error:
        if _is_certificate(error):
            return _problem("CERTIFICATE", store, str(error), "ca_file")
        return _problem("UNREACHABLE", store, str(error) or type(error).__name__, "address")
    return _judged(store, answer.status_code, answer.text)


def signed(store: ObjectStore, secret: str, now: datetime) -> dict[str, str]:
    """Return the headers of the request, signed for the minute that it is."""
    at, day = f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}"
    headers = {"host": store.authority, "x-amz-content-sha256": NOTHING, "x-amz-date": at}
    names = ";".join(headers)
    asked = "\n".join(
        ["GET", f"/{store.bucket}", QUERY, *(f"{k}:{v}" for k, v in headers.items()), "", names]
    )
    scope = f"{day}/{store.region}/s3/aws4_request"
    digest = hashlib.sha256(f"{asked}\n{NOTHING}".encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{digest}"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    credential = f"Credential={store.access_key}/{scope}"
    return {
        **headers,
        "authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, "
        f"Signature={key.hex()}",
    }


def _judged(store: ObjectStore, status: int, text: str) -> Problem | None:
    found = _CODE.search(text)
    said = f"HTTP {status}" + (f", {found[1]}" if found else "")
    if status == 200:
        return None
    if found is not None and found[1] == "NoSuchBucket":
        return _problem("BUCKET_MISSING", store, said, "bucket")
    if status in (401, 403):
        return _problem("KEY_REFUSED", store, said, "access_key")
    return _problem("UNREACHABLE", store, said, "address")


_WHAT: Mapping[str, tuple[str, str]] = {
    "UNREACHABLE": ("it does not answer as S3 does", "bring it back, or correct address and port"),
    "CERTIFICATE": (
        "its certificate is not one of the authority that is trusted",
        "name the authority's certificate in ca_file; the address must be in the endpoint's own",
    ),
    "KEY_REFUSED": (
        "it refuses the key",
        "the key must read and write the bucket; clocks more than 15 minutes apart count as well",
    ),
    "BUCKET_MISSING": ("the bucket is not there", "make it, for this site alone"),
}


def _problem(code: str, store: ObjectStore, said: str, key: str) -> Problem:
    what, hint = _WHAT[code]
    return Problem(
        f"OBJECT_STORE_{code}", f"{store.place}: {what} ({said})", f"{HERE}.{key}", hint
    )


def _is_certificate(error: BaseException | None) -> bool:
    """Whether a failure comes of what the other side showed, however deep it is wrapped."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
