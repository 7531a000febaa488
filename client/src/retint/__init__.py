"""Python client of the retint video colorization service."""
