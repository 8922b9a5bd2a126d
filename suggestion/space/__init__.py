"""Encoding: any search space to the unit cube and back, for the designers.

What a space is and whether a point lies in it stands in `domain/`; here is only how algorithms see it.
"""
