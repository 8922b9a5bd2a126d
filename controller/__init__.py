"""The controller: a pure planner, the loop that observes, plans and acts, and the contract of the runtimes.

    service ──watch──> StudyView ─┐
    runtime ─observe─> Execution ─┴─> Snapshot ──plan──> actions ──> runtime (launch, terminate, kill, forget)
                                                                └──> service (ask, announce, report, end)

Runtimes (`local/`, `kubernetes/`) are equals behind that contract, and only they touch processes or clusters. The
controller reaches the service over the wire only and keeps nothing that could not be rebuilt from what it observes.
What must not live here: what becomes of a trial (the service decides), SQL, suggestion.
"""
