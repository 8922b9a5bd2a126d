"""Train a small network on scikit-learn's handwritten digits, as a trial of a study or by hand.

Nothing is downloaded: the 1797 images come with scikit-learn. `python train.py --lr=0.01 --hidden=64` works without any
study, since the trial is then a stand-in that keeps no reports.
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

import wazir

EPOCHS = 25
SEED = 0


def main() -> None:
    args = arguments()
    x, y = load_digits(return_X_y=True)
    # The same split in every trial, so that trials differ by their parameters alone.
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.25, stratify=y, random_state=SEED)
    scaler = StandardScaler().fit(x)  # on the training images only: the validation set stays unseen
    x, x_val = scaler.transform(x), scaler.transform(x_val)

    net = MLPClassifier(
        hidden_layer_sizes=(args.hidden,),
        activation=args.activation,
        solver=args.solver,
        learning_rate_init=args.lr,
        momentum=args.momentum,  # read by sgd alone
        alpha=args.alpha,
        batch_size=args.batch,
        # A generator and not a number, which would make partial_fit shuffle every epoch alike.
        random_state=np.random.RandomState(SEED),
    )
    classes = np.unique(y)

    trial = wazir.current_trial()  # from the environment; a stand-in outside a study
    # A long training would save checkpoints and go on from the latest (docs/stopping.md); this one takes a second.
    for epoch in range(EPOCHS):
        net.partial_fit(x, y, classes=classes)
        acc = net.score(x_val, y_val)
        loss = log_loss(y_val, net.predict_proba(x_val), labels=classes)
        trial.report({"val/accuracy": acc, "val/loss": loss}, step=epoch + 1)
        print(f"epoch {epoch + 1:2}: accuracy {acc:.4f}, loss {loss:.4f}", flush=True)
        if trial.should_stop():
            break


def arguments() -> argparse.Namespace:
    """The parameters, as `${args}` in the study file passes them; `trial.params` holds the same values."""
    parser = argparse.ArgumentParser(description="Train a small network on handwritten digits.")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--alpha", type=float, default=1e-4, help="L2 penalty")
    parser.add_argument("--hidden", type=int, default=64, help="units of the hidden layer")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--activation", choices=["relu", "tanh"], default="relu")
    parser.add_argument("--solver", choices=["adam", "sgd"], default="adam")
    parser.add_argument("--momentum", type=float, default=0.9, help="with sgd")
    return parser.parse_args()


if __name__ == "__main__":
    main()
