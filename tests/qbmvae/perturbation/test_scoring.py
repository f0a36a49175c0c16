from __future__ import annotations

import logging

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from qbmvae.perturbation import scale_scores, scores
from qbmvae.perturbation.rank_sum import rank_sum_test, sort_columns
from samplers.errors import InputError

COLUMNS = ["overlap_at_N", "discrimination_score_l1", "mae"]


def official(predicted, observed, tmp_path, *, key="target_gene", control="non-targeting"):
    cell_eval = pytest.importorskip("cell_eval")
    logging.disable(logging.CRITICAL)
    try:
        evaluator = cell_eval.MetricsEvaluator(
            predicted.copy(), observed.copy(), control_pert=control, pert_col=key, num_threads=1, outdir=str(tmp_path)
        )
        return evaluator.compute(profile="vcc", write_csv=False, break_on_error=True)
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    ("seed", "effect", "sparse", "dtype"),
    [(0, 1.0, True, np.float32), (1, 2.0, False, np.float32), (2, 0.5, True, np.float64), (3, 1.5, False, np.float64)],
)
def test_equal_to_cell_eval(poisson_screen, seed, effect, sparse, dtype, tmp_path):
    observed = poisson_screen(seed, effect=effect, sparse=sparse, dtype=dtype)
    predicted = poisson_screen(seed + 50, effect=effect, sparse=sparse, dtype=dtype, n_cells=30)
    mine = scores(predicted, observed)
    table, aggregate = official(predicted, observed, tmp_path)
    theirs = table.to_pandas().set_index("perturbation").loc[mine["per_perturbation"].index, COLUMNS].to_numpy(float)
    np.testing.assert_allclose(mine["per_perturbation"].to_numpy(), theirs, atol=1e-6)
    means = aggregate.to_pandas().set_index("statistic").loc["mean", COLUMNS].to_numpy(float)
    np.testing.assert_allclose([mine["des"], mine["pds"], mine["mae"]], means, atol=1e-6)
    assert mine["des"] > 0.1


def test_ties_and_infinite_fold_changes_in_the_order_of_cell_eval(annotate, tmp_path):
    rng = np.random.default_rng(0)

    def draw():
        # a third of the genes is off in controls, a third is lost by perturbation: |log2 fold change| is infinite
        blocks = []
        for p in range(7):
            off = np.full(30, 0.0) if p == 0 else (rng.random(30) < 0.7) * 1.0
            blocks.append(
                (rng.poisson(np.concatenate([off, np.ones(30), np.full(30, float(p == 0))]), (60, 90)) > 0) * 1.5
            )
        names = np.repeat(["non-targeting", *(f"g{i}" for i in range(1, 7))], 60)
        return annotate(np.concatenate(blocks).astype(np.float32), names)

    observed, predicted = draw(), draw()
    mine = scores(predicted, observed)["per_perturbation"]
    table, _ = official(predicted, observed, tmp_path)
    theirs = table.to_pandas().set_index("perturbation").loc[mine.index, COLUMNS].to_numpy(float)
    np.testing.assert_allclose(mine.to_numpy(), theirs, atol=1e-6)


def test_scaled_scores_equal_cell_eval(poisson_screen, tmp_path):
    cell_eval = pytest.importorskip("cell_eval")
    observed = poisson_screen(0)
    predicted, baseline = poisson_screen(1), poisson_screen(2, truth=9)
    mine = scores(predicted, observed, baseline=baseline)
    _, user = official(predicted, observed, tmp_path)
    _, base = official(baseline, observed, tmp_path)
    theirs = dict(cell_eval.score_agg_metrics(user, base).iter_rows())
    for name, column in zip(("des", "pds", "mae"), COLUMNS, strict=True):
        assert mine[f"{name}_scaled"] == pytest.approx(theirs[column], abs=1e-6)
    assert mine["overall"] == pytest.approx(100 * theirs["avg_score"], abs=1e-4)
    raw = {name: scores(baseline, observed)[name] for name in ("des", "pds", "mae")}
    assert scores(predicted, observed, baseline=raw)["overall"] == pytest.approx(mine["overall"])


def test_the_published_scaling():
    # the prototype's published raw scores against a baseline that gives its published scaled DES
    scaled = scale_scores({"des": 0.8532, "pds": 0.5076, "mae": 0.1433}, {"des": 0.05, "pds": 0.52, "mae": 0.03})
    assert scaled["des_scaled"] == pytest.approx(0.8455, abs=1e-4)
    assert (scaled["pds_scaled"], scaled["mae_scaled"]) == (0, 0)
    assert scaled["overall"] == pytest.approx(28.18, abs=0.01)


def test_counts_are_normalised_as_cell_eval_does(annotate, tmp_path):
    rng = np.random.default_rng(3)
    names = np.repeat(["non-targeting", "g1", "g2", "g3"], 40)
    counts = rng.poisson(rng.gamma(1, 2, (4, 60)).repeat(40, 0)).astype(np.float32)
    observed, predicted = annotate(counts, names), annotate(rng.poisson(counts + 0.1).astype(np.float32), names)
    mine = scores(predicted, observed)
    table, _ = official(predicted, observed, tmp_path)
    theirs = table.to_pandas().set_index("perturbation").loc[mine["per_perturbation"].index, COLUMNS].to_numpy(float)
    np.testing.assert_allclose(mine["per_perturbation"].to_numpy(), theirs, atol=1e-6)


def test_a_uniform_shift_does_not_score_as_des(annotate, poisson_screen):
    observed = poisson_screen(0, n_genes=400, n_perts=12, effect=1.0)
    controls = observed.X[(observed.obs["target_gene"] == "non-targeting").to_numpy()].toarray()
    rng = np.random.default_rng(1)
    blocks, names = [controls], ["non-targeting"] * len(controls)
    for name in sorted(set(observed.obs["target_gene"]) - {"non-targeting"}):
        blocks.append(controls[rng.choice(len(controls), 50, replace=False)] + 0.15)
        names += [name] * 50
    shifted = scores(annotate(np.concatenate(blocks).astype(np.float32), names), observed)
    # every gene is "significant" after the shift, so untruncated recall is near 1 while DES stays near chance (k / genes)
    from qbmvae.perturbation.differential import fold_change_and_fdr, prepare_controls, ranked_genes
    from qbmvae.perturbation.scoring import screen

    truth = screen(observed)
    reference = prepare_controls(truth.x[truth.control_rows])
    sizes = [ranked_genes(*fold_change_and_fdr(truth.x[rows], reference)).size for rows in truth.rows.values()]
    k, chance = np.mean(sizes), np.mean(sizes) / 400
    assert k > 20
    assert shifted["des"] < 2 * chance
    assert shifted["pds"] < 0.65
    perfect = scores(observed, observed)
    assert perfect["des"] == pytest.approx(1) and perfect["pds"] == 1 and perfect["mae"] == 0


@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(2, 40), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_rank_sum_equals_scipy(seed, n1, n2, zeros):
    rng = np.random.default_rng(seed)
    x = (rng.integers(0, 4, (n1, 6)) * (rng.random((n1, 6)) > zeros)).astype(np.float32)
    y = (rng.integers(0, 4, (n2, 6)) * (rng.random((n2, 6)) > zeros)).astype(np.float32)
    mine = rank_sum_test(sp.csr_matrix(x), sort_columns(sp.csr_matrix(y)))
    with np.errstate(invalid="ignore", divide="ignore"):
        theirs = scipy.stats.mannwhitneyu(x.astype(float), y.astype(float), method="asymptotic").pvalue
    constant = (np.concatenate([x, y]) == x[0]).all(0)
    np.testing.assert_allclose(mine, np.where(constant, 1.0, theirs), rtol=1e-10)


def test_control_subset_is_reproducible(poisson_screen):
    observed, predicted = poisson_screen(0), poisson_screen(1)
    a = scores(predicted, observed, n_control=40, seed=3)
    assert a["mae"] == scores(predicted, observed, n_control=40, seed=3)["mae"]
    assert a["des"] <= scores(predicted, observed)["des"] + 0.2


def test_bad_input_is_named(poisson_screen):
    observed, predicted = poisson_screen(0, n_perts=4), poisson_screen(1, n_perts=4)
    with pytest.raises(InputError, match=r"no control cells.*'non-targetin'"):
        scores(predicted, observed, control="non-targetin")
    with pytest.raises(InputError, match="observed genes are missing, first 'g0'"):
        scores(predicted[:, 1:].copy(), observed)
    with pytest.raises(InputError, match="same order"):
        scores(predicted[:, ::-1].copy(), observed)
    with pytest.raises(InputError, match="observed perturbations are missing, first 'g2'"):
        scores(predicted[predicted.obs["target_gene"] != "g2"].copy(), observed)
    with pytest.raises(InputError, match="no column 'gene'"):
        scores(predicted, observed, pert_key="gene")
    negative = predicted.copy()
    negative.X = negative.X - sp.csr_matrix(np.full(negative.shape, 0.5, np.float32))
    with pytest.raises(InputError, match="negative"):
        scores(negative, observed)
    with pytest.raises(InputError, match="'mae'"):
        scores(predicted, observed, baseline={"des": 0.1, "pds": 0.5})


@pytest.mark.parametrize("which", ["predicted", "observed", "baseline"])
def test_duplicate_genes_are_named(which):
    from experiments.perturbation.synthetic import synthetic_screen
    from qbmvae.perturbation import scores

    screens = {
        name: synthetic_screen(n_seen=2, n_unseen=0, n_genes=6, n_cells=5, n_control=9).adata
        for name in ("predicted", "observed", "baseline")
    }
    for screen in screens.values() if which != "baseline" else [screens["baseline"]]:
        screen.var_names = ["G0", "G1", "G1", "G3", "G4", "G5"]
    with pytest.raises(InputError, match="1 genes occur more than once in var_names, first 'G1'"):
        scores(screens["predicted"], screens["observed"], "target_gene", "non-targeting", screens["baseline"])
