"""A filter on documents' metadata as conditions that an index can answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Filter = Mapping[str, Any] | None


@dataclass(frozen=True)
class Condition:
    """SQL about the documents `d`, with the values of its parameters."""

    sql: str
    values: list[Any]


def condition(where: Filter, first: int) -> Condition:
    """Say that every wanted key holds its value or one of its values; parameters count from `first`.

    A list in the metadata holds a value when that is one of its elements.
    """
    parts, values = ["true"], []
    for number, (name, wanted) in enumerate((where or {}).items(), start=first):
        options = wanted if isinstance(wanted, list) else [wanted]
        parts.append(f"d.metadata @> any(${number}::jsonb[])")
        values.append([{name: form} for one in options for form in (one, [one])])
    return Condition(" and ".join(parts), values)
