"""The local runtime: trials as processes of this machine, each with its process group, log file and GPU slots.

How many may run and which are due is the planner's decision; here attempts are started, watched, ended and adopted.
"""
