"""Bearer tokens: who is asking. Comparison takes the same time however much of a token is right."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from emovoice.errors import InputError
from emovoice.serve.failures import ApiError

VARIABLE = "EMOVOICE_TOKENS"
"""Environment variable: tokens with commas between them."""

ANYONE = ""
"""The owner of everything where no tokens are set."""

SHORTEST = 16


def owner(header: str | None, tokens: Iterable[str]) -> str:
    """Whose request this is: a hash of the token, or ANYONE where none are set.

    Raises:
        ApiError: 401 where tokens are set and the header `Authorization: Bearer TOKEN` holds none of them.
    """
    known = tuple(tokens)
    if not known:
        return ANYONE
    scheme, _, given = (header or "").partition(" ")
    offered = given.strip().encode("utf-8", "surrogateescape") if scheme.lower() == "bearer" else b""
    found = ""
    for token in known:  # all of them, whichever fits: the time says nothing
        if hmac.compare_digest(offered, token.encode()):
            found = token
    if not found:
        headers = {"WWW-Authenticate": "Bearer"}
        message = "a valid token is needed: Authorization: Bearer TOKEN"
        raise ApiError(401, message, code="invalid_api_key", headers=headers)
    return hashlib.sha256(b"emovoice owner:" + found.encode()).hexdigest()[:16]


def gather(file: str | os.PathLike[str] | None) -> tuple[str, ...]:
    """Tokens from the environment and from a file with one a line; neither shows in a list of processes.

    Raises:
        InputError: the file cannot be read, or a token is shorter than 16 characters.
    """
    found = [part.strip() for part in os.environ.get(VARIABLE, "").split(",")]
    if file is not None:
        try:
            found += [line.strip() for line in Path(file).read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError("the tokens cannot be read", field="token-file", value=str(file)) from error
    tokens = tuple(dict.fromkeys(token for token in found if token and not token.startswith("#")))
    if any(len(token) < SHORTEST for token in tokens):
        remedy = "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        raise InputError(f"a token needs at least {SHORTEST} characters", field="token", value="...", remedy=remedy)
    return tokens


def check_reach(host: str, tokens: Iterable[str], open_to_all: bool) -> None:
    """Refuse to listen beyond this machine without tokens, unless told to. Raises InputError."""
    if is_loopback(host) or tuple(tokens) or open_to_all:
        return
    raise InputError(
        "listening beyond this machine needs tokens",
        field="host",
        value=host,
        remedy=f"Set {VARIABLE} or --token-file, or say --open to let anyone in.",
    )


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
