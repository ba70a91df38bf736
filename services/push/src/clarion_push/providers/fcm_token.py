"""The OAuth access token of a Firebase project: one for the process, fetched off the loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import requests
from google.auth.credentials import TokenState
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import Request
from google.oauth2.service_account import Credentials

from clarion.errors import Misconfigured, SendError, SettingsError, Transient
from clarion.provider import excerpt

SCOPES = ["https://www.googleapis.com/auth/firebase.messaging"]
TIMEOUT_SECONDS = 5.0
"""For one request; google-auth makes up to three, within a worker's lease."""

LoadKey = Callable[[], Credentials]


class AccessToken:
    """Fetches the token when it is needed and keeps it until shortly before its end.

    google-auth's refresh blocks, so that it runs in a thread; all who wait share one refresh.
    """

    def __init__(self, load_key: LoadKey) -> None:
        self._load_key = load_key
        self._credentials: Any = None
        self._refresh: asyncio.Task[str] | None = None

    async def get(self) -> str:
        """Return a token that is good for some minutes.

        Raises `Transient` when Google does not answer and `Misconfigured` when it refuses the key.
        """
        current = self._credentials
        state = current.token_state if current is not None else TokenState.INVALID
        if state is TokenState.FRESH:
            return str(current.token)
        if self._refresh is None or self._refresh.done():
            self._refresh = asyncio.create_task(asyncio.to_thread(self._fetch))
        try:
            # shielded: one send that is cancelled must not take the token from the others
            return await asyncio.shield(self._refresh)
        except SendError:
            if state is TokenState.STALE:  # it still has minutes to go
                return str(current.token)
            raise

    def drop(self, token: str) -> None:
        """Forget a token that FCM calls expired, unless it was replaced meanwhile."""
        if self._credentials is not None and self._credentials.token == token:
            self._credentials = None

    def _fetch(self) -> str:
        try:
            # the key is read again each time: a replaced one then needs no restart
            credentials: Any = self._load_key()
            with requests.Session() as session:
                credentials.refresh(partial(Request(session), timeout=TIMEOUT_SECONDS))
        except requests.RequestException as error:
            raise Transient(_words(error), code="oauth_key") from error
        except GoogleAuthError as error:
            retryable = isinstance(error, TransportError) or error.retryable
            kind = Transient if retryable else Misconfigured
            raise kind(_words(error), code="oauth_token") from error
        except (ValueError, TypeError, KeyError, OSError, SettingsError) as error:
            raise Misconfigured(_words(error), code="oauth_token") from error
        self._credentials = credentials
        return str(credentials.token)


def key_from_file(path: str) -> LoadKey:
    """Return how to read the key; raises `SettingsError` at once when the file is not one."""

    def load() -> Credentials:
        try:
            return _key(json.loads(Path(path).read_bytes()))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            # the path and the kind of error only: other words could be a part of the key
            problem = error.strerror if isinstance(error, OSError) else "not a service account key"
            raise SettingsError(f"FCM_SERVICE_ACCOUNT_FILE: {path}: {problem}") from None

    load()
    return load


def key_from_url(url: str) -> LoadKey:
    """Return how to fetch the sandbox's key, which may start later than this worker."""

    def load() -> Credentials:
        answer = requests.get(url, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        return _key(answer.json())

    return load


def _key(info: dict[str, str]) -> Credentials:
    key: Credentials = Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
        info, scopes=SCOPES
    )
    return key


def _words(error: Exception) -> str:
    return excerpt(f"no access token: {error}")
