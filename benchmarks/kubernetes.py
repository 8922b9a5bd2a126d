"""What trials as pods cost: see `kubernetes_pods.py`, which this runs.

WAZIR_TEST_KUBECONFIG=... python benchmarks/kubernetes.py [--quick] [--json FILE]
"""

import sys

# A script's own folder comes first, and there this file has the name of the client that the runtime imports.
sys.path.append(sys.path.pop(0))

from kubernetes_pods import main

if __name__ == "__main__":
    main()
