"""What the command itself refuses."""


class CommandError(Exception):
    """The message is a whole sentence: what was wrong, what was expected, what to do."""
