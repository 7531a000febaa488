"""What tuning gained, in the words of the command and of the report."""

SMALLEST_SHOWN_DB = 0.005
"""Less would read as 0.00 dB."""


def gain_in_words(gain_db: float) -> str:
    """What follows "tuning". `gain_db`, in dB, is that of `jobs.record.ShotTuning`, or a mean; it is 0 where the
    weights stayed as they were."""
    if gain_db >= SMALLEST_SHOWN_DB:
        return f"gained {gain_db:.2f} dB on the held-out part of the references"
    return "gained nothing that held, so the untuned weights were kept"
