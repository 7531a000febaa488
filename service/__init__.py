"""The HTTP front end: moves bytes and records, computes nothing."""
