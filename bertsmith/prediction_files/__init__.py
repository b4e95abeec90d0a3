"""Predictions for files of any size: read as a stream, answered in chunks, kept as parts, put together at the end."""
