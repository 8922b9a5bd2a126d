"""One algorithm a file, readable beside its paper.

A designer is made known by a line in the registry. Helpers move up to `suggestion/` at their second user, not before.
"""
