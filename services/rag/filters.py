"""A filter on documents' metadata as conditions in SQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

INDEXED_OPTIONS = 8  # values of one key that are looked up in the index; more are compared
CONTAINED = "d.metadata @> any(${number}::jsonb[])"
# The casts keep PostgreSQL from guessing types; a missing key makes this null, which is no.
COMPARED = """case jsonb_typeof(d.metadata -> ${name}::text)
    when 'array' then exists(select from jsonb_array_elements(d.metadata -> ${name}::text) one
        where one = any(${number}::jsonb[]))
    else (d.metadata -> ${name}::text) = any(${number}::jsonb[]) end"""

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
    parts: list[str] = ["true"]
    values: list[Any] = []
    for name, wanted in (where or {}).items():
        number = first + len(values)
        options = wanted if isinstance(wanted, list) else [wanted]
        if len(options) <= INDEXED_OPTIONS:
            parts.append(CONTAINED.format(number=number))
            values.append([{name: form} for one in options for form in (one, [one])])
        else:
            parts.append(COMPARED.format(number=number, name=number + 1))
            values += [options, name]
    return Condition(" and ".join(parts), values)
