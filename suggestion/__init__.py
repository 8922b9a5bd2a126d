"""Suggestion algorithms: the contracts of designers and stopping rules, the registry, and what algorithms share.

An algorithm is a function of the problem, its history and a seeded generator, and keeps nothing between calls, so any
replica can answer any request. Nothing here reads a store, opens a channel or looks at the clock.
"""
