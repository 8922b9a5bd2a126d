"""The pulse of a loop."""

from wazir.domain.pulse import Pulse


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def is_fresh(pulse: Pulse) -> bool:
    """The property by another name: mypy takes it to stay as it was asserted last."""
    return pulse.fresh


def test_a_loop_that_does_not_beat_for_longer_than_its_limit_has_stopped() -> None:
    clock = Clock()
    pulse = Pulse("writer", 5.0, clock)
    clock.now += 5.0
    assert is_fresh(pulse)
    clock.now += 0.1
    assert not is_fresh(pulse)
    assert round(pulse.age, 3) == 5.1
    pulse.beat()
    assert is_fresh(pulse)
    assert pulse.age == 0.0


def test_a_loop_at_rest_is_well_however_long_it_waits_for_work() -> None:
    clock = Clock()
    pulse = Pulse("writer", 5.0, clock)
    pulse.rest()
    clock.now += 1000.0
    assert is_fresh(pulse)
    assert pulse.age == 0.0
    pulse.beat()
    clock.now += 5.1
    assert not is_fresh(pulse)
