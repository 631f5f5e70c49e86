"""Arrow schemas from columns that name their types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def arrow_schema(columns: Mapping[str, str]) -> Any:
    """The schema of columns with pyarrow's names of their types, such as `string` or `list<double>`."""
    import pyarrow

    return pyarrow.schema([(name, _type(pyarrow, spelled)) for name, spelled in columns.items()])


def _type(pyarrow: Any, spelled: str) -> Any:
    inner = spelled.removeprefix("list<").removesuffix(">")
    alias = pyarrow.type_for_alias(inner)
    return alias if inner == spelled else pyarrow.list_(alias)
