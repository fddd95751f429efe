"""The training loop: joint loss over all exits, AdamW with one-cycle, weight averaging, resume after a stop."""
import contextlib
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


def cpu_has_bf16() -> bool:
    """bfloat16 arithmetic halves training time where the processor has it; elsewhere it would only be emulated."""
    try:
        with open("/proc/cpuinfo") as file:
            return "bf16" in file.read()
    except OSError:
        return False


def autocast():
    """bfloat16 around the forward pass only: losses and updates stay in float32."""
    return torch.autocast("cpu", dtype=torch.bfloat16) if cpu_has_bf16() else contextlib.nullcontext()


def exits_loss(outputs, y, weights, distil: float, smoothing: float, temperature: float = 2.0, offsets=0.0) -> torch.Tensor:
    """Weighted cross entropy of every exit; all but the last also learn from the last one's soft answers.

    `offsets` per class: the log of how much more frequent it is in training than where the network is to be used (Menon
    et al., ICLR 2021). Added to the logits here, so that the network itself need not know it.
    """
    teacher = F.softmax(outputs[-1].detach() / temperature, 1)
    total = torch.zeros(())
    for k, logits in enumerate(outputs):
        loss = F.cross_entropy(logits + offsets, y, label_smoothing=smoothing)
        if distil > 0 and k < len(outputs) - 1:
            soft = F.kl_div(F.log_softmax(logits / temperature, 1), teacher, reduction="batchmean")
            loss = (1 - distil) * loss + distil * temperature**2 * soft
        total = total + weights[k] * loss
    if not torch.isfinite(total):
        raise FloatingPointError("loss is not finite")
    return total


class WeightAverage:
    """Exponential moving average of weights; `copy_to` puts it into the network."""

    def __init__(self, net: nn.Module, decay: float):
        self.decay = decay
        self.values = {k: v.detach().clone().float() for k, v in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        for key, value in net.state_dict().items():
            if value.dtype.is_floating_point:
                self.values[key].lerp_(value.float(), 1 - self.decay)
            else:
                self.values[key] = value.clone()

    def copy_to(self, net: nn.Module) -> None:
        net.load_state_dict({k: self.values[k].to(v.dtype) for k, v in net.state_dict().items()})


@torch.no_grad()
def refresh_batch_norm(net: nn.Module, batches) -> None:
    """Averaged weights need their own batch-norm statistics: a cumulative average over `batches`."""
    norms = [module for module in net.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
    if not norms:
        return
    for module in norms:
        module.reset_running_stats()
        module.momentum = None
    net.train()
    for batch in batches:
        net(batch)
    net.eval()


@torch.no_grad()
def collect_logits(net: nn.Module, x: torch.Tensor, batch: int = 500) -> list:
    """Logits of every exit as float32 arrays [samples, classes]."""
    net.eval()
    parts = [[z.float().numpy() for z in net(x[i : i + batch])] for i in range(0, len(x), batch)]
    return [np.concatenate(exit_parts) for exit_parts in zip(*parts)]


def optimiser_for(net: nn.Module, lr: float, decay: float, steps: int, table_lr: float = 0.0, table_decay: float = 0.0):
    """AdamW without decay on norms and biases; one cycle with 20 % warm-up. Embedding tables may have their own rate."""
    tables = [m.weight for m in net.modules() if isinstance(m, nn.Embedding)] if table_lr > 0 else []
    rest = [p for p in net.parameters() if not any(p is table for table in tables)]
    groups = [
        ([p for p in rest if p.ndim > 1], lr, decay),
        ([p for p in rest if p.ndim <= 1], lr, 0.0),
        *([(tables, table_lr, table_decay)] if tables else []),
    ]
    optimiser = torch.optim.AdamW([{"params": params, "lr": rate, "weight_decay": share} for params, rate, share in groups], lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [rate for _, rate, _ in groups], total_steps=steps, pct_start=0.2, div_factor=20, final_div_factor=500
    )
    return optimiser, schedule


def train(net, x, y, augment, options, weights, checkpoint: str) -> nn.Module:
    """Trains `net` on (x, y), writes `checkpoint` after every epoch and resumes from it when it is there.

    options: epochs, batch, lr, weight_decay, smoothing, distil, distil_epochs, average, seed; for networks with
    embedding tables also table_lr, table_decay; where classes are more frequent than in use, offsets [classes].
    The state of every random generator is part of the checkpoint, so a resumed run continues the same streams.
    """
    torch.manual_seed(options.seed)
    steps = len(x) // options.batch
    net = net.to(memory_format=torch.channels_last)
    tables = {name: getattr(options, name) for name in ("table_lr", "table_decay") if hasattr(options, name)}
    offsets = getattr(options, "offsets", 0.0)
    optimiser, schedule = optimiser_for(net, options.lr, options.weight_decay, steps * options.epochs, **tables)
    average, first = WeightAverage(net, options.average), 0
    if os.path.exists(checkpoint):
        saved = torch.load(checkpoint, weights_only=False)
        net.load_state_dict(saved["net"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        average.values, first = saved["average"], saved["epoch"] + 1
        torch.set_rng_state(saved["rng"])
        print(f"resuming after epoch {first}", flush=True)
    started = time.time()
    for epoch in range(first, options.epochs):
        net.train()
        order, total = torch.randperm(len(x)), 0.0
        distil = options.distil * min(1.0, epoch / options.distil_epochs)
        for step in range(steps):
            rows = order[step * options.batch : (step + 1) * options.batch]
            with autocast():
                outputs = net(augment(x[rows]))
            loss = exits_loss([z.float() for z in outputs], y[rows], weights, distil, options.smoothing, offsets=offsets)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            average.update(net)
            total += loss.item()
        state = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}
        torch.save({**state, "average": average.values, "epoch": epoch, "rng": torch.get_rng_state()}, checkpoint)
        print(json.dumps({"epoch": epoch + 1, "loss": round(total / steps, 4), "seconds": round(time.time() - started)}), flush=True)
    average.copy_to(net)
    order = torch.randperm(len(x))[: 60 * 256]
    refresh_batch_norm(net, (augment(x[order[i : i + 256]]) for i in range(0, len(order), 256)))
    if not all(math.isfinite(float(p.detach().sum())) for p in net.parameters()):
        raise FloatingPointError("weights are not finite")
    return net
