"""Readers of metrics that training code writes somewhere: its output, files of JSON lines, TensorBoard logs.

A reader turns text or records into measurements and does no more; who watches the file and who reports is elsewhere.
"""
