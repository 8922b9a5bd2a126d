"""OSS Vizier's own server on an SQLite file, with the studies of the load. Runs in Vizier's environment.

python benchmarks/vizier_server.py FILE STUDIES     prints its port
"""

from __future__ import annotations

import sys
import threading

from load import DIMENSIONS
from vizier._src.service import study_pb2, vizier_service_pb2  # type: ignore[import-not-found]
from vizier.service import servers  # type: ignore[import-not-found]


def main(file: str, studies: int) -> None:
    server = servers.DefaultVizierServer(database_url=f"sqlite:///{file}")
    parameter = study_pb2.StudySpec.ParameterSpec
    for number in range(studies):
        spec = study_pb2.StudySpec(
            algorithm="RANDOM_SEARCH",
            parameters=[
                parameter(parameter_id=f"x{i}", double_value_spec=parameter.DoubleValueSpec(min_value=0, max_value=1))
                for i in range(DIMENSIONS)
            ],
            metrics=[study_pb2.StudySpec.MetricSpec(metric_id="loss", goal=study_pb2.StudySpec.MetricSpec.MINIMIZE)],
        )
        study = study_pb2.Study(display_name=f"load-{number}", study_spec=spec)
        made = server.stub.CreateStudy(vizier_service_pb2.CreateStudyRequest(parent="owners/default", study=study))
        assert made.name == f"owners/default/studies/load-{number}", made.name
    print(server.endpoint.rpartition(":")[2], flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
