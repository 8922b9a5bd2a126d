"""Train a small network with PyTorch on scikit-learn's digits, on the GPU where there is one.

It takes its parameters from the trial, saves a checkpoint every epoch and goes on from the latest one: where the study
has a volume for checkpoints, an attempt that is evicted loses no more than an epoch.
"""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import wazir

EPOCHS = 10
BATCH = 64


def main() -> None:
    trial = wazir.current_trial()
    lr, width = float(trial.params.get("lr", 1e-2)), int(trial.params.get("width", 64))
    dropout = float(trial.params.get("dropout", 0.1))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"training on {torch.cuda.get_device_name(device) if device.type == 'cuda' else 'the CPU'}", flush=True)
    torch.manual_seed(0)

    images, digits = load_digits(return_X_y=True)
    split = train_test_split(images / 16.0, digits, test_size=0.25, stratify=digits, random_state=0)
    x, x_val = (torch.tensor(part, dtype=torch.float32, device=device) for part in split[:2])
    y, y_val = (torch.tensor(part, device=device) for part in split[2:])

    net = nn.Sequential(
        nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    ).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    first = 1
    if latest := trial.checkpoint.latest():
        saved = torch.load(latest / "state.pt", map_location=device, weights_only=True)
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["epoch"] + 1

    for epoch in range(first, EPOCHS + 1):
        net.train()
        for batch in torch.randperm(len(x), device=device).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            accuracy = (net(x_val).argmax(1) == y_val).float().mean().item()
        print(f"epoch {epoch}: accuracy {accuracy:.4f}", flush=True)
        with trial.checkpoint.save(epoch) as folder:
            state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
            torch.save(state, folder / "state.pt")
        trial.report({"accuracy": accuracy}, step=epoch)
        if trial.should_stop():
            break


if __name__ == "__main__":
    main()
