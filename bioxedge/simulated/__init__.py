"""Simulated people: a heart, what it goes through, and what sensors make of it."""
