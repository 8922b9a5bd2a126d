"""Who calls, what that caller may do, and how much of it: asked once a call, before anything else is done.

    call ── interceptor ──> gate ──> tokens, attempt_tokens    who calls
                             ├─────> authorize                 may that caller do this to that study
                             └─────> limits                    and is it not too much

The use cases know nothing of it, and nothing here decides anything about studies.
"""
