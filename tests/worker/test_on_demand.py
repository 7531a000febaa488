"""Items are read when they are asked for, and none is held."""

from worker.on_demand import OnDemand


def test_only_what_is_asked_for_is_read() -> None:
    read: list[int] = []

    def look(number: int) -> str:
        read.append(number)
        return f"picture {number}"

    items = OnDemand([7, 3, 9], look)
    assert (len(items), list(items[:2]), items[-1], read) == (3, ["picture 7", "picture 3"], "picture 9", [7, 3, 9])
    assert len(items[:2]) == 2
    assert read == [7, 3, 9]
