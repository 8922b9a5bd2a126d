"""One stopping rule a file. A rule only stops; promoting and pausing trials is what designers do.

Rules read values at a step through the index they are given, never whole trials and never the store.
"""
