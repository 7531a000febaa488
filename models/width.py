"""Networks in other widths than the published one, as for tests."""


def scaled(channels: int, *, width: float) -> int:
    """Channels of a layer at a width factor: `channels` at 1, never fewer than one."""
    return max(1, round(channels * width))
