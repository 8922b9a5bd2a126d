"""Composition only: the commands `serve`, `controller`, `run` and `db` put the other rooms together.

It is the one place that knows every room, and nothing imports it. Logic that could be tested without starting a process
belongs into the room that owns it.
"""
