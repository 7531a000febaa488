"""What tuning gained, in the words of the command and of the report."""


def gain_in_words(gain_db: float) -> str:
    """`gain_db` is that of `jobs.record.ShotTuning`, or a mean; it is 0 where the weights stayed as they were."""
    if gain_db > 0:
        return f"gained {gain_db:.2f} dB on the held-out part of the references"
    return "gained nothing: the untuned weights did as well where it was measured, and were kept"
