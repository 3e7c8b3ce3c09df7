"""Recordings, models and commands that several tests share."""
