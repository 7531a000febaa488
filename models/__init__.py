"""Networks, tuning, motion, matching, color and metrics: tensors in, tensors out, no I/O but weight files."""
