"""The Kubernetes runtime: each attempt is a pod.

    KubernetesRuntime ── Writer ──> API server: create, patch, delete, a few at a time, again after failures
         │  └─ Reflector <── list and watch: what pods there are
         ├─ pods.py      Order -> Pod               pure
         ├─ status.py    Pod -> Execution           pure
         ├─ pod_object.py  what a pod says of its containers and log   pure
         ├─ size.py      whether the cluster says that a pod is too large   pure
         ├─ schema.py    what a manifest may hold   pure
         ├─ output.py    what a pod printed, followed through the API server
         ├─ access.py    whether this account may do what it must
         └─ leader.py    one controller of a name at a time

A pod's name follows from study, trial and attempt, so creating twice is adopting. A finalizer keeps its object until
the service knows how the attempt ended: whoever deletes or evicts it, its end is seen. What must not live here:
decisions (`controller/plan.py`), and anything that cannot be rebuilt from the cluster. The official client gives
connection and credentials; bodies are plain JSON, because its models cost more than all the rest.
"""
