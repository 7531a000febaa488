"""The default colorizer: motion and matching, blended pixel by pixel."""
