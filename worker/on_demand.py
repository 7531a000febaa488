"""Sequences whose items are read when they are asked for, so that not all of them are held at once."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, overload

Item = TypeVar("Item")


class OnDemand(Sequence[Item], Generic[Item]):
    """What `read` gives for each of `numbers`, read anew whenever it is asked for."""

    def __init__(self, numbers: Sequence[int], read: Callable[[int], Item]) -> None:
        self._numbers = numbers
        self._read = read

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> Item: ...

    @overload
    def __getitem__(self, place: slice) -> "OnDemand[Item]": ...

    def __getitem__(self, place: int | slice) -> "Item | OnDemand[Item]":
        if isinstance(place, slice):
            return OnDemand(self._numbers[place], self._read)
        return self._read(self._numbers[place])
