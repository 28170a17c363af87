"""Objectives to try a search with."""

import optuna


def wine(trial: optuna.Trial) -> float:
    """Cross-validated accuracy of a support vector machine on scikit-learn's wines."""
    from sklearn.datasets import load_wine
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    c = trial.suggest_float("C", 1e-3, 1e3, log=True)
    gamma = trial.suggest_float("gamma", 1e-5, 1e1, log=True)
    model = make_pipeline(StandardScaler(), SVC(C=c, gamma=gamma))
    return float(cross_val_score(model, *load_wine(return_X_y=True)).mean())
