"""Deep exemplar-based video colorization (Zhang et al. 2019): the baseline of the paper on test-time tuning."""
