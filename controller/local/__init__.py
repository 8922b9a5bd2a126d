"""The local runtime: trials as processes of this machine, each with its process group, log file and GPU slots.

    LocalRuntime ── Launcher ──pipe──> zygote ──fork──> supervisor ──fork, exec──> the command
         └─ Folder: launch.json, output.log, spool.jsonl, ending.json, exit.json

How many may run and which are due is the planner's decision; here attempts are started, watched, ended and adopted.
Linux only: it takes process handles, subreapers and death signals from the kernel. What must not live here: anything
that the service or another runtime needs to know, and any use of a shell.
"""
