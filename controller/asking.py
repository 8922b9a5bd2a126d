"""Asking the service for trials, and what its answers mean for when to ask again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from ..domain.errors import Aborted, NotFound, WazirError
from ..domain.names import StudyName
from .attempts import Attempts
from .errands import Errands
from .execution import Key
from .plan import Short, demand
from .service import AWAY, StudyService, Suggested
from .settings import Settings
from .studies import Known, Studies

log = logging.getLogger(__name__)


class Asking:
    """`holder`: the id that the trials' attempts carry. `refused` is called where the service will not hand out trials
    of a study, and asking again at once would not help. `clock`: Unix seconds."""

    def __init__(
        self,
        service: StudyService,
        errands: Errands,
        studies: Studies,
        attempts: Attempts,
        holder: str,
        settings: Settings,
        clock: Callable[[], float],
        refused: Callable[[StudyName, WazirError], None],
    ) -> None:
        self._service = service
        self._errands = errands
        self._studies = studies
        self._attempts = attempts
        self._holder = holder
        self._settings = settings
        self._clock = clock
        self._refused = refused

    def begin(self, name: StudyName, count: int) -> None:
        study = self._studies[name]
        study.asking = count
        self._errands.send(partial(self._ask, study, name, count))

    def _ask(self, study: Known, name: StudyName, count: int) -> None:
        try:
            answer = self._service.suggest(name, count, client_id=self._holder, start=True, leased=False)
        except NotFound:
            self._errands.tell(partial(self._deleted, study))
        except (*AWAY, Aborted) as error:
            # What was handed out although the answer was lost comes with the stream: it carries our id.
            log.info("asking for trials of %s: %s", name.short, error, extra={"action": "ask", "study": str(name)})
            if isinstance(error, AWAY):
                self._errands.trouble = str(error)
            self._errands.tell(partial(self._in_vain, study, self._settings.retry_after))
        except WazirError as error:
            self._errands.tell(partial(self._refuse, study, error))
        except Exception as error:
            log.exception("asking for trials of %s", name.short, extra={"action": "ask_defect", "study": str(name)})
            self._errands.trouble = repr(error)
            self._errands.tell(partial(self._in_vain, study, self._settings.ask_again))
        else:
            self._errands.trouble = ""
            self._errands.tell(partial(self._answered, study, count, answer))

    def _answered(self, study: Known, count: int, answer: Suggested) -> None:
        if len(answer.trials) < count:
            self._in_vain(study, self._settings.ask_again)
        else:
            study.asking, study.short = 0, None
        study.learn(trials=answer.trials)
        for trial in answer.trials:
            if trial.attempt is not None:
                key = Key(study.view.study.uid, trial.id, trial.attempt.number)
                self._attempts.begun(key, answer.tokens.get(trial.id, ""))

    def _deleted(self, study: Known) -> None:
        study.asking = 0
        self._studies.gone(study)

    def _refuse(self, study: Known, error: WazirError) -> None:
        self._in_vain(study, self._settings.ask_again)
        self._refused(study.view.study.name, error)

    def _in_vain(self, study: Known, wait: float) -> None:
        """There were fewer than asked for. They are asked for again when what that depends on has changed, or after
        `wait` seconds."""
        study.asking = 0
        # The demand of before: what this answer has changed itself is one reason more to ask.
        study.short = Short(demand(study.view.study), self._clock() + wait)
