"""Protocols of other tools, one per file.

A file binds `router`, a function that takes the `Core` and returns a FastAPI router. It converts requests to `Sample`s
and rewards to responses. A protocol without null uses `Core.numbers`, which applies the policy for missing rewards.
Other packages add protocols by entry points in the group `fathom.dialects`.
"""

from __future__ import annotations

from fathom.plugins import PluginKind

DIALECTS = PluginKind("protocol", packages=(__name__,), group="fathom.dialects", attribute="router")
