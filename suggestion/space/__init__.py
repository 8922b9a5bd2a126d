"""How algorithms see a search space: as a unit cube, as draws from it, and, where it is finite, as a numbered list.

What a space is and whether a point lies in it stands in `domain/`; nothing here decides that anew.
"""
