"""The Gaussian process and what is computed from it, against finite differences and against scikit-learn."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import norm, spearmanr

from wazir.suggestion.models.acquisition import derivatives, log_expected_improvement, log_h
from wazir.suggestion.models.ascent import climb
from wazir.suggestion.models.gaussian_process import (
    GaussianProcess,
    Hyperparameters,
    Likelihood,
    Prior,
    centre,
    fit,
)
from wazir.suggestion.models.input_warping import Axes, InputWarping
from wazir.suggestion.models.kernel import Array, Mask, by_distance, matern, squared_distance
from wazir.suggestion.models.normal import NotPositive
from wazir.suggestion.models.warping import Warping

ORDERED = np.zeros(3, dtype=bool)
MIXED = np.array([False, True, False])
AXES = Axes(ORDERED, np.zeros(6))
PLANE = np.array([1.0, -0.7, 0.5])
PLAIN = InputWarping(np.ones(3), np.ones(3))
H = Hyperparameters(np.array([4.0, 0.5, 30.0]), 1.7, 1e-3, PLAIN)


def points(n: int, seed: int = 0) -> Array:
    """(n, 3); the second coordinate has three values, so that it may be taken for categorical."""
    x = np.random.default_rng(seed).random((n, 3))
    x[:, 1] = np.round(x[:, 1] * 2) / 2
    return x


def values(x: Array) -> Array:
    result: Array = np.sin(5 * x[:, 0]) + x[:, 1] - (x[:, 2] - 0.3) ** 2
    return result


def gradient(function: Callable[[Array], float], at: Array) -> Array:
    """By central differences."""
    step = 1e-6
    forward, backward = (np.array([function(at + s * e) for e in np.eye(len(at))]) for s in (step, -step))
    result: Array = (forward - backward) / (2 * step)
    return result


class TestKernel:
    def test_the_slope_is_the_derivative_by_the_squared_distance(self) -> None:
        r2 = np.array([0.01, 0.3, 2.0, 40.0])
        step = 1e-6
        assert matern(r2)[1] == pytest.approx((matern(r2 + step)[0] - matern(r2 - step)[0]) / (2 * step), rel=1e-6)

    @pytest.mark.parametrize("categorical", [ORDERED, MIXED])
    def test_derivatives_of_a_sum_of_distances(self, categorical: Mask) -> None:
        x, m = points(7), np.random.default_rng(1).random((7, 7))
        m += m.T
        table = (x[:, None, :] - x[None, :, :]) ** 2
        table[..., categorical] = table[..., categorical] > 0
        assert squared_distance(x, x, H.w, categorical) == pytest.approx(table @ H.w, abs=1e-12)
        by_length, by_x = by_distance(m, x, H.w, categorical)
        assert by_length == pytest.approx(-2.0 * np.einsum("ab,abj->j", m, table) * H.w)

        def total(flat: Array) -> float:
            at = flat.reshape(x.shape)
            return float((m * squared_distance(at, at, H.w, categorical)).sum())

        expected = gradient(total, x.ravel()).reshape(x.shape)
        assert by_x[:, ~categorical] == pytest.approx(expected[:, ~categorical], rel=1e-5, abs=1e-5)
        assert not by_x[:, categorical].any()


class TestPosterior:
    def test_it_is_that_of_scikit_learn(self) -> None:
        learn = pytest.importorskip("sklearn.gaussian_process")
        kernels = learn.kernels
        x, at = points(40), points(15, seed=1)
        kernel = kernels.ConstantKernel(H.amplitude) * kernels.Matern(1 / np.sqrt(H.w), nu=2.5)
        kernel += kernels.ConstantKernel(0.6) * kernels.DotProduct(sigma_0=0.6**-0.5)
        peer = learn.GaussianProcessRegressor(kernel, alpha=H.noise, optimizer=None).fit(x - 0.5, values(x))
        mean, deviation = GaussianProcess(x, values(x), ORDERED, H, Prior(trend=0.6)).predict(at)
        peer_mean, peer_deviation = peer.predict(at - 0.5, return_std=True)
        assert mean == pytest.approx(peer_mean, rel=1e-8, abs=1e-8)
        assert deviation == pytest.approx(peer_deviation, rel=1e-6)

    @pytest.mark.parametrize("categorical", [ORDERED, MIXED])
    def test_its_gradient_is_that_of_finite_differences(self, categorical: Mask) -> None:
        x, at = points(20), np.random.default_rng(2).random((4, 3))
        at[:, categorical] = 0.5
        model = GaussianProcess(x, values(x), categorical, H, Prior())
        mean, deviation, by_mean, by_deviation = model.predict_with_gradient(at)
        for found, expected in zip((mean, deviation), model.predict(at), strict=True):
            assert found == pytest.approx(expected)
        free = ~categorical
        for i, row in enumerate(at):
            of_mean = gradient(lambda u: float(model.predict(u[None])[0][0]), row)
            of_deviation = gradient(lambda u: float(model.predict(u[None])[1][0]), row)
            assert by_mean[i, free] == pytest.approx(of_mean[free], rel=1e-4, abs=1e-6)
            assert by_deviation[i, free] == pytest.approx(of_deviation[free], rel=1e-4, abs=1e-6)
        assert not by_mean[:, categorical].any()
        assert not by_deviation[:, categorical].any()

    def test_equal_points_with_unlike_values_are_averaged(self) -> None:
        x = np.repeat(points(1), 6, axis=0)
        h = Hyperparameters(H.w, 1.0, 1e-6, PLAIN)
        mean, _ = GaussianProcess(x, np.array([0.0, 1.0] * 3), ORDERED, h, Prior()).predict(x[:1])
        assert mean == pytest.approx(0.5, abs=1e-3)

    def test_what_is_no_number_is_refused(self) -> None:
        x = points(3)
        x[1, 0] = np.nan
        with pytest.raises(NotPositive):
            GaussianProcess(x, np.zeros(3), ORDERED, H, Prior())


class TestFit:
    @pytest.mark.parametrize("categorical", [ORDERED, MIXED])
    def test_the_gradient_of_the_posterior_of_hyperparameters(self, categorical: Mask) -> None:
        x = points(25)
        axes = Axes(categorical, np.array([-1.0, 0.0, 0.2, 0.0, 0.4, -0.3]))
        likelihood = Likelihood(x, values(x), axes, Prior())
        for seed in range(3):
            theta = centre(axes, Prior()) + np.random.default_rng(seed).normal(size=11) * 0.5
            expected = approx_fprime(theta, lambda t: likelihood(t)[0], 1e-7)
            assert likelihood(theta)[1] == pytest.approx(expected, rel=2e-3, abs=1e-3)

    def test_an_axis_that_does_not_matter_gets_the_longest_length(self) -> None:
        x = np.random.default_rng(3).random((40, 3))
        theta = fit(x, np.sin(6 * x[:, 0]) + x[:, 1], AXES, Prior(), [centre(AXES, Prior())], 50)
        assert theta[0] < theta[1] < theta[2]

    def test_noise_is_told_from_signal(self) -> None:
        x = np.repeat(np.random.default_rng(4).random((20, 3)), 3, axis=0)
        y = np.sin(3 * x[:, 0])
        noisy = y + 0.5 * np.random.default_rng(5).normal(size=60)
        of = [np.exp(fit(x, v / v.std(), AXES, Prior(), [centre(AXES, Prior())], 60)[4]) for v in (y, noisy)]
        assert of[0] < 0.01 < of[1]


class TestExpectedImprovement:
    def test_it_is_the_textbooks_where_that_can_be_computed(self) -> None:
        mean, deviation = np.array([-1.0, 0.0, 0.5, 3.0]), np.array([0.2, 1.0, 0.1, 0.5])
        z = (0.25 - mean) / deviation
        expected = (0.25 - mean) * norm.cdf(z) + deviation * norm.pdf(z)
        assert np.exp(log_expected_improvement(mean, deviation, 0.25)) == pytest.approx(expected, rel=1e-6)

    def test_it_rises_without_a_break_where_improvement_is_all_but_impossible(self) -> None:
        z = -np.geomspace(1e7, 1e-3, 4_000)
        assert np.isfinite(log_h(z)).all()
        assert (np.diff(log_h(z)) > 0).all()

    def test_its_derivatives(self) -> None:
        def value(at: Array) -> float:
            return float(log_expected_improvement(at[:1], at[1:], 0.0)[0])

        for mean, deviation in ((0.1, 0.3), (5.0, 0.1), (-2.0, 0.5), (300.0, 0.05)):
            at = np.array([mean, deviation])
            _, *found = derivatives(at[:1], at[1:], 0.0)
            steps = np.diag(abs(at) * 1e-5)
            expected = [(value(at + step) - value(at - step)) / (2 * step.max()) for step in steps]
            assert np.concatenate(found) == pytest.approx(expected, rel=1e-4)


class TestClimb:
    def test_reaches_the_top_of_a_narrow_ridge_from_everywhere(self) -> None:
        scale = np.array([1.0, 30.0, 1000.0])

        def ridge(u: Array) -> tuple[Array, Array]:
            away = u - [0.2, 0.7, 0.5]
            return -(away**2 @ scale), -2 * away * scale

        top, value = climb(ridge, points(6), np.ones((6, 3), dtype=bool), 60, tolerance=1e-12)
        assert top == pytest.approx(np.tile([0.2, 0.7, 0.5], (6, 1)), abs=1e-3)
        assert value == pytest.approx(0.0, abs=1e-5)

    def test_ends_at_bounds_and_leaves_alone_what_is_held(self) -> None:
        def slope(u: Array) -> tuple[Array, Array]:
            return u @ [1.0, -2.0, 3.0], np.tile([1.0, -2.0, 3.0], (len(u), 1))

        start = points(4)
        free = np.tile([True, True, False], (4, 1))
        top, _ = climb(slope, start, free, 30)
        assert (top[:, :2] == [1.0, 0.0]).all()
        assert (top[:, 2] == start[:, 2]).all()

    def test_who_has_arrived_costs_nothing_more(self) -> None:
        """One climber starts at the top of its hill, one far from the top of another, long and narrow one."""
        asked: list[int] = []

        def hills(u: Array) -> tuple[Array, Array]:
            asked.append(len(u))
            scale = np.where(u[:, 2:] < 0.5, [1.0, 1.0, 0.0], [1.0, 300.0, 0.0])
            away = u - [0.2, 0.7, 0.0]
            return -(away**2 * scale).sum(axis=1), -2 * away * scale

        start = np.array([[0.2, 0.7, 0.0], [0.9, 0.1, 1.0]])
        top, _ = climb(hills, start, np.tile([True, True, False], (2, 1)), 60, tolerance=1e-9)
        assert top[:, :2] == pytest.approx(np.tile([0.2, 0.7], (2, 1)), abs=1e-3)
        assert asked[:2] == [2, 2]
        assert len(asked) > 6
        assert set(asked[2:]) == {1}


class TestWarping:
    @pytest.mark.parametrize(
        ("losses", "reason"),
        [
            ([1e300, -1e300, 0.0, 5.0], "near the ends of the doubles"),
            ([3.0], "a single one"),
            ([2.0, 2.0, 2.0], "all equal"),
            ([0.0, 0.0, 0.0, 1.0], "most of them equal"),
            ([5e-324, 0.0], "denormal"),
            (list(range(50)), "many"),
        ],
    )
    def test_it_is_finite_and_keeps_the_order(self, losses: list[float], reason: str) -> None:
        z = Warping(np.array(losses, dtype=float)).values
        assert np.isfinite(z).all(), reason
        for a, loss in zip(z, losses, strict=True):
            for b, other in zip(z, losses, strict=True):
                assert (loss < other) <= (a <= b), reason
                assert (loss == other) <= (a == b), reason

    def test_how_bad_the_worst_is_changes_nothing(self) -> None:
        good = [1.0, 2.0, 3.0, 4.0]
        one, other = (Warping(np.array([*good, 10.0, worst])).values for worst in (11.0, 1e12))
        assert one == pytest.approx(other)

    def test_differences_among_the_better_half_stay_in_proportion(self) -> None:
        z = Warping(np.array([1.0, 2.0, 4.0, 100.0, 1e6])).values
        assert (z[2] - z[1]) / (z[1] - z[0]) == pytest.approx(2.0)

    @pytest.mark.parametrize("losses", [[3.0, 1.0, 2.0, 50.0, 1e9], [1e300, -1e300, 0.0]])
    def test_back_is_its_inverse(self, losses: list[float]) -> None:
        warping = Warping(np.array(losses))
        assert [warping.back(z) for z in warping.values] == pytest.approx(losses, rel=1e-9)
        beyond = warping.back(float(warping.values.min()) - 0.5)
        assert np.isfinite(beyond)
        assert beyond <= min(losses)

    def test_back_of_a_constant_is_that_constant(self) -> None:
        assert [Warping(np.array([7.0, 7.0])).back(z) for z in (-1.0, 0.0, 1.0)] == [7.0] * 3


def test_samples_of_a_process_are_ranked_by_its_posterior() -> None:
    """Half of a smooth function is enough to order the other half."""
    x = np.random.default_rng(6).random((120, 3))
    y = Warping(values(x)).values
    h = Hyperparameters.read(fit(x[:60], y[:60], AXES, Prior(), [centre(AXES, Prior())], 50), ORDERED)
    x = h.warping.forward(x)
    mean, _ = GaussianProcess(x[:60], y[:60], ORDERED, h, Prior()).predict(x[60:])
    assert spearmanr(mean, y[60:])[0] > 0.95
