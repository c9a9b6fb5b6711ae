"""Recordings as files that other programs read."""
