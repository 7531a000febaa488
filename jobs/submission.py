"""What is kept with a record and never shown: where it came from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Submission:
    owner: str = ""
    """Id of the API key that it was submitted with; empty where none was asked for."""
    reference_names: tuple[str, ...] = ()
    """File names that the references had, in order."""
    request_id: str = ""
    """Of the request that submitted it, for log lines of the worker."""
    trace_context: str = ""
    """`traceparent` (W3C Trace Context) of that request; empty where it is not traced."""
