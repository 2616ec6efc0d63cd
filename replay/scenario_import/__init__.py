"""Recordings of other programs, and of our own markers, made scenarios."""
