"""What speed and time left of a job are reckoned from: for `worker.pace`, where one process does it all, and for
`piece_tell.lua`, where many workers do."""

MARK_SECONDS = 0.25
"""Between two marks at least."""
WINDOW_SECONDS = 30.0
"""What speed and time left are measured over, at least."""
LEAST_GAIN = 1e-6
"""Of the whole job; less is rounding."""
SHORTEST_SECONDS = 0.5
"""Less says nothing about speed."""

FIRST_FRACTION = 0.02
LONG_ENOUGH_SECONDS = 20.0
"""A time left is told once so much is done, or was watched for so long: the shares of the first phases are guesses."""
