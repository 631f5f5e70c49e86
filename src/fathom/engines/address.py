"""A server's address and what every call to it carries: key, headers, proxy. This module makes no network calls.

    there = address("https://x.openai.azure.com/openai/deployments/judge?api-version=2024-10-21", "chat/completions")
    there.url, there.headers, there.proxy

Addresses and settings are written into results, logs and journals, which must not contain secrets. A secret is
therefore given by reference: `$NAME` in a query, a header or a proxy's address is the environment variable NAME. A
literal value that looks like a secret is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import getproxies, proxy_bypass

import yarl

from fathom.errors import FathomError

OPENAI = "https://api.openai.com/v1"

_NAMED = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_SECRET = frozenset(
    ("key", "apikey", "token", "secret", "sig", "signature", "password", "passwd", "auth", "authorization", "code")
) | frozenset(("credential", "credentials", "cookie", "session", "sas", "bearer"))
"""Words in the name of a header or a query field that mark its value as a secret."""
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True)
class Address:
    """`shown` is the base address without secrets, for results and logs. `url`, `headers` and `proxy` may contain
    secrets; `secrets` lists them."""

    shown: str
    url: yarl.URL = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    proxy: str | None = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    def without_secrets(self, text: str) -> str:
        """The text with every secret replaced by [key]."""
        for secret in self.secrets:
            text = text.replace(secret, "[key]")
        return text


def address(
    base_url: str | None,
    path: str,
    *,
    headers: Mapping[str, Any] | None = None,
    api_key_env: str | None = None,
    api_key_file: str | Path | None = None,
    proxy: str | None = None,
) -> Address:
    """The address of `path` below `base_url`. Raises FathomError for settings that are invalid or contain a secret.

    Without `base_url`, the address is OPENAI_BASE_URL if that is set, as in all OpenAI clients, and else OpenAI's own.
    The key is read from `api_key_env` or `api_key_file`. Without either, OPENAI_API_KEY is sent to OpenAI's own address
    and to OPENAI_BASE_URL, but never to an explicit `base_url`, so a key meant for one server is not sent to another.
    """
    shown = _base(default_base_url() if base_url is None else base_url)
    secrets: list[str] = []
    url = _endpoint(shown, path, secrets)
    sent = _headers(headers or {}, secrets)
    if not any(name.lower() == "authorization" for name in sent):
        own = is_openai(shown) or (base_url is None and "OPENAI_API_KEY" in os.environ)
        keyed = _key(shown, api_key_env or ("OPENAI_API_KEY" if own else None), api_key_file)
        if keyed:
            secrets.append(keyed)
            sent["Authorization"] = f"Bearer {keyed}"
    proxy_url = _proxy(url, proxy, secrets)
    # Longest first: one secret may be a substring of another, and replacing it first would expose the rest.
    return Address(shown, url, sent, proxy_url, tuple(sorted(filter(None, secrets), key=len, reverse=True)))


def default_base_url() -> str:
    """The address that all OpenAI clients use by default."""
    return os.environ.get("OPENAI_BASE_URL", "").strip() or OPENAI


def is_openai(base_url: str | None = None) -> bool:
    """Whether an address, by default the default one, is OpenAI's own. Its key and the shipped prices apply there."""
    url = yarl.URL(base_url or default_base_url())
    return url.scheme == "https" and f".{url.host}".endswith(".api.openai.com")


def _base(base_url: str) -> str:
    """The address without a trailing slash or endpoint path, which users often include."""
    try:
        url = yarl.URL(base_url)
    except ValueError as error:
        raise FathomError(f"base_url={base_url!r} is not an address: {error}") from None
    if url.user or url.password or url.fragment:
        # The message does not repeat the address, because that part of it may be a secret.
        raise FathomError(
            "base_url contains a user, a password or a fragment; give a key with api_key_env, or in a header by headers"
        )
    if url.scheme not in {"http", "https"} or not url.host:
        raise FathomError(f"base_url={base_url!r}: expected an address such as http://localhost:8000/v1")
    for name, value in url.query.items():
        _check_named(f"base_url: the value of {name} in the query", name, value)
    start, mark, query = base_url.partition("?")
    start = re.sub(r"(/chat)?/completions/?$", "", start).rstrip("/")
    return f"{start}{mark}{query}"


def _endpoint(base: str, path: str, secrets: list[str]) -> yarl.URL:
    start, _, _ = base.partition("?")
    fields = [(name, expanded(value, secrets)) for name, value in yarl.URL(base).query.items()]
    url = yarl.URL(f"{start}/{path}")
    return url.with_query(fields) if fields else url


def _headers(headers: Any, secrets: list[str]) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        raise FathomError(f"headers={headers!r}: expected a mapping, such as {{api-key: $AZURE_API_KEY}}")
    sent = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise FathomError(f"headers: {name!r} is not a header name; expected one such as api-key")
        if isinstance(value, Mapping | list | tuple) or value is None:
            raise FathomError(f"headers: the value of {name} is {type(value).__name__}; expected text")
        _check_named(f"headers: the value of {name}", name, str(value))
        sent[name] = expanded(str(value), secrets)
        if not sent[name].isascii() or not sent[name].isprintable():
            raise FathomError(f"headers: the value of {name} is not one line of printable ASCII")
    return sent


def _check_named(what: str, name: str, value: str) -> None:
    if _SECRET & set(re.split(r"[^a-z0-9]+", name.lower())) and not _NAMED.search(value):
        raise FathomError(
            f"{what} looks like a secret, and settings are written into results: put it into an environment variable, "
            f"and give {name} as '$NAME' with that variable's name (in single quotes, so the shell does not expand it)"
        )


def expanded(text: str, secrets: list[str]) -> str:
    """Replace `$NAME` and `${NAME}` by the values of environment variables, and append these values to `secrets`."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in os.environ:
            raise FathomError(f"the environment has no variable {name}, which {text!r} refers to")
        secrets.append(_usable(os.environ[name], name))
        return secrets[-1]

    return _NAMED.sub(value, text)


def _key(shown: str, env: str | None, file: str | Path | None) -> str | None:
    if file is not None:
        return _usable(_content(Path(file)), f"the file {file}")
    if env is None:
        return None
    if env not in os.environ:
        raise FathomError(f"the environment has no variable {env}; set it to the key for {shown}, or give api_key_file")
    return _usable(os.environ[env], env)


def _content(path: Path) -> str:
    try:
        return path.expanduser().read_text()
    except (OSError, ValueError) as error:
        raise FathomError(f"cannot read the key from {path}: {type(error).__name__}") from None


def _usable(key: str, place: str) -> str:
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise FathomError(f"{place} contains no key: expected one line of printable ASCII")
    return key


LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _proxy(url: yarl.URL, given: str | None, secrets: list[str]) -> str | None:
    """The given proxy, or the environment's proxy for this address; None for servers on this machine."""
    if given is not None:
        if given in ("none", ""):
            return None
        if not isinstance(given, str) or not yarl.URL(given).host:
            raise FathomError(f"proxy={given!r}: expected an address such as http://proxy:3128, or none")
        if yarl.URL(given).password and not _NAMED.search(str(yarl.URL(given).password)):
            raise FathomError("proxy contains a password: refer to an environment variable instead, as in $PASSWORD")
        return _checked_proxy(expanded(given, secrets), "proxy")
    if url.host in LOOPBACK or proxy_bypass(str(url.host)):
        return None
    proxies = getproxies()
    default = proxies.get(url.scheme) or proxies.get("all")
    if default is None:
        return None
    if "://" not in default:
        default = f"http://{default}"
    secrets += [part for part in (yarl.URL(default).password,) if part]
    return _checked_proxy(default, f"{url.scheme.upper()}_PROXY")


def _checked_proxy(proxy: str, place: str) -> str:
    if yarl.URL(proxy).scheme not in {"http", "https"}:
        raise FathomError(
            f"{place} is a {yarl.URL(proxy).scheme} proxy; expected an http or https proxy: give one with proxy=, or "
            "proxy=none"
        )
    return proxy
