"""Readers of metrics that training code writes somewhere: as yet its output alone.

A reader turns text or records into measurements and does no more; who watches the file and who reports is elsewhere.
"""
