"""Protocols of other tools, one per file, which trainers already speak.

A file binds `router`: a function of the `Core` that returns FastAPI's routes. It turns a request into `Sample`s, and
rewards into an answer. A protocol without null asks `Core.numbers`, which applies the policy for missing rewards.
Other packages add protocols by entry points in the group `fathom.dialects`.
"""

from __future__ import annotations

from fathom.plugins import PluginKind

DIALECTS = PluginKind("protocol", packages=(__name__,), group="fathom.dialects", attribute="router")
