"""The controller: a pure planner, the loop that observes, plans and acts, and the contract of the runtimes.

    service ──watch──> StudyView ─┐
    runtime ─observe─> Execution ─┴─> Snapshot ──plan──> actions ──> runtime (launch, terminate, kill, forget)
                                                                └──> service (ask, announce, report, end)

    loop                    the turn: observes, plans, acts
    owners, studies         which studies are run here, and what is known of each from its stream
    attempts                what is kept of attempts, and which calls are under way for them
    asking, telling         what the service is asked for, and what it is told of attempts
    retention, discarding   whose checkpoints nobody needs, and their removal
    errands                 the threads that wait for all that, and the news they bring

Runtimes (`local/`, `kubernetes/`) are equals behind that contract, and only they touch processes or clusters. The
controller reaches the service over the wire only and keeps nothing that could not be rebuilt from what it observes.
What must not live here: what becomes of a trial (the service decides), SQL, suggestion.
"""
