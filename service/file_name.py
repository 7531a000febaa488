"""File names that clients give."""

MAX_LENGTH = 255


def shown_name(path: str) -> str | None:
    """The last step of the path that a client gave, to show and to match, never to open; None where nothing is left."""
    last = path.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(character for character in last if character.isprintable()).strip()[:MAX_LENGTH]
    return None if name in ("", ".", "..") else name
