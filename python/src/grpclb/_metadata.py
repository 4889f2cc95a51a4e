"""Metadata that came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Union

#: Text, or octets when the name ends in ``-bin``.
MetadataValue = Union[str, bytes]


class Metadatum(NamedTuple):
    """One entry of metadata."""

    key: str
    value: MetadataValue


class Metadata(tuple[Metadatum, ...]):
    """Metadata in the order in which it came: a tuple of pairs, in which names can be looked up as well.

    ``metadata["x-tenant"]`` is the first value of that name (KeyError when there is none), ``get_all`` gives all of them.
    """

    __slots__ = ()

    def __new__(cls, pairs: Iterable[tuple[str, MetadataValue]] = ()) -> Metadata:
        return super().__new__(cls, (Metadatum(*pair) for pair in pairs))

    def __getitem__(self, at: Any) -> Any:
        if not isinstance(at, str):
            return super().__getitem__(at)
        for key, value in self:
            if key == at:
                return value
        raise KeyError(at)

    def __contains__(self, item: object) -> bool:
        if isinstance(item, str):
            return any(key == item for key, _ in self)
        return super().__contains__(item)

    def get(self, name: str, default: Any = None) -> Any:
        """The first value of a name."""
        return next((value for key, value in self if key == name), default)

    def get_all(self, name: str) -> list[MetadataValue]:
        """All values of a name, in order."""
        return [value for key, value in self if key == name]

    def keys(self) -> Iterator[str]:
        """Names, each as often as it came."""
        return (key for key, _ in self)

    def values(self) -> Iterator[MetadataValue]:
        """Values, in the order of `keys`."""
        return (value for _, value in self)

    def items(self) -> Iterator[Metadatum]:
        """The pairs."""
        return iter(self)

    def __repr__(self) -> str:
        return f"Metadata({[tuple(pair) for pair in self]!r})"
