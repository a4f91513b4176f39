"""A multilayer perceptron in PyTorch, early stopped on the latest of its own training eras.

Seeded, and on one processor thread, because sums of floats depend on how they are split; on ``device: cuda`` with
PyTorch's deterministic algorithms. Validation eras are never looked at: ``stop_fraction`` of the training eras, the
latest, are held out, with ``stop_embargo_eras`` between them and the rest, and the epoch that serves them best stays.
"""

import re
import threading
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from numerai_ray.config import Section
from numerai_ray.errors import FitError, nearest
from numerai_ray.models.dense import DenseModel, FittedDense, Rows, library, spread_rows
from numerai_ray.models.protocol import NoDevice, Params
from numerai_ray.models.reports import beat

# PyTorch draws weights and dropout from one stream a process: two threads would draw each other's numbers.
TRAINING = threading.Lock()
# Rows at which a gradient is taken.
PROBED_ROWS = 4_096


class MlpParams(Section):
    """All parameters, and what they are when left out."""

    hidden: list[int] = Field(default_factory=lambda: [128, 64], min_length=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    batch_size: int = Field(default=4096, ge=2)
    epochs: int = Field(default=20, ge=1)
    patience: int = Field(default=4, ge=1)
    stop_fraction: float = Field(default=0.15, ge=0, lt=1)
    stop_embargo_eras: int = Field(default=16, ge=0)
    seed: int = Field(default=0, ge=0)
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$")


class Mlp(DenseModel):
    """``params`` are the fields of :class:`MlpParams`."""

    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    def canonical_params(self, params: Params) -> dict[str, Any]:
        return MlpParams(**params).model_dump()

    def with_seed(self, params: Params, seed: int) -> dict[str, Any]:
        return {**params, "seed": seed}

    def gpus(self, params: Params) -> float:
        """How many GPUs a fit takes."""
        return 1.0 if re.fullmatch(r"cuda(:\d+)?", str(params.get("device"))) else 0.0

    def no_device(self, params: Params) -> NoDevice | None:  # noqa: ARG002
        torch = library("torch", "torch")
        if not torch.backends.cuda.is_built():
            return NoDevice("device", f"this PyTorch, {torch.__version__}, is built without CUDA", in_build=True)
        if not torch.cuda.is_available():
            return NoDevice("device", "PyTorch finds no CUDA device", in_build=False)
        return None

    def on_processor(self, params: Params) -> dict[str, Any]:
        return {name: value for name, value in params.items() if name != "device"}

    def problems(self, params: Params) -> list[tuple[str, str]]:
        library("torch", "torch")
        try:
            MlpParams(**params)
        except ValidationError as error:
            return [_problem(each) for each in error.errors()]
        return []

    def fit_rows(self, rows: Rows, params: Params) -> "FittedMlp":
        torch = library("torch", "torch")
        settings = MlpParams(**params)
        if settings.device != "cpu" and not torch.cuda.is_available():
            raise FitError(f"PyTorch finds no {settings.device} here; remove device to train on the processor")
        with TRAINING:
            torch.set_num_threads(1)
            torch.use_deterministic_algorithms(mode=True)
            torch.manual_seed(settings.seed)
            return FittedMlp(torch, *_trained(torch, rows, settings))

    def plain(self, fitted: Any) -> list[dict[str, Any]]:
        """A mapping a linear layer; rectifiers lie between them, and dropout is not there when predicting."""
        layers = [each for each in fitted.predictor.network if hasattr(each, "weight")]
        found = []
        for layer in layers:
            weight = np.ascontiguousarray(layer.weight.detach().cpu().numpy(), np.float32)
            bias = np.ascontiguousarray(layer.bias.detach().cpu().numpy(), np.float32)
            found.append({"weight": weight.tobytes(), "shape": list(weight.shape), "bias": bias.tobytes()})
        return found

    def restored(self, plain: list[dict[str, Any]]) -> FittedDense:
        torch = library("torch", "torch")
        parts: list[Any] = []
        for layer in plain:
            linear = torch.nn.Linear(layer["shape"][1], layer["shape"][0])
            weight = np.frombuffer(layer["weight"], np.float32).reshape(layer["shape"])
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weight.copy()))
                linear.bias.copy_(torch.from_numpy(np.frombuffer(layer["bias"], np.float32).copy()))
            parts += [linear, torch.nn.ReLU()]
        return FittedDense(FittedMlp(torch, torch.nn.Sequential(*parts[:-1]), "cpu"))


class FittedMlp:
    """A network, and what its inputs are shifted and scaled by."""

    def __init__(self, torch: Any, network: Any, device: str):
        self.torch, self.network, self.device = torch, network, device

    @property
    def native(self) -> Any:
        return self.network

    def predict(self, rows: Rows) -> npt.NDArray[np.float64]:
        torch = self.torch
        torch.set_num_threads(1)
        self.network.eval()
        parts = []
        with torch.no_grad():
            for start in range(0, len(rows.features), 65536):
                inputs = torch.from_numpy(_inputs(rows.features[start : start + 65536])).to(self.device)
                parts.append(self.network(inputs).squeeze(1).cpu().numpy())
        return np.concatenate(parts).astype(np.float64)

    def importance_at(self, rows: Rows) -> tuple[str, npt.ArrayLike]:
        """Mean size of the prediction's gradient by each input; inputs all have one scale."""
        torch = self.torch
        inputs = torch.from_numpy(_inputs(spread_rows(rows.features, PROBED_ROWS))).to(self.device)
        inputs.requires_grad_(requires_grad=True)
        self.network.eval()
        self.network(inputs).sum().backward()
        return "gradient", inputs.grad.abs().mean(dim=0).cpu().numpy()


def _trained(torch: Any, rows: Rows, settings: MlpParams) -> tuple[Any, str]:
    learn, stop = _split(rows.eras, settings)
    if rows.target is None or not len(learn):
        raise FitError("no training row is left beside those held out for early stopping; lower stop_fraction")
    inputs = torch.from_numpy(_inputs(rows.features)).to(settings.device)
    center = float(rows.target[learn].mean())
    scale = float(rows.target[learn].std()) or 1.0
    target = torch.from_numpy((rows.target - center) / scale).to(settings.device)
    weights = None if rows.weights is None else torch.from_numpy(rows.weights.astype(np.float32)).to(settings.device)
    network = _network(torch, inputs.shape[1], settings).to(settings.device)
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    generator = np.random.default_rng(settings.seed)
    best, best_loss, since = None, np.inf, 0
    for epoch in range(settings.epochs):
        beat(epoch, settings.epochs, "epochs")
        network.train()
        for places in np.array_split(generator.permutation(learn), max(1, len(learn) // settings.batch_size)):
            own = torch.from_numpy(places)
            errors = (network(inputs[own]).squeeze(1) - target[own]) ** 2
            loss = errors.mean() if weights is None else (errors * weights[own]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if not len(stop):
            continue
        network.eval()
        with torch.no_grad():
            held = float(((network(inputs[stop]).squeeze(1) - target[stop]) ** 2).mean())
        since = 0 if held < best_loss else since + 1
        if held < best_loss:
            best, best_loss = {name: value.clone() for name, value in network.state_dict().items()}, held
        if since >= settings.patience:
            break
    if best is not None:
        network.load_state_dict(best)
    return network, settings.device


def _network(torch: Any, n_features: int, settings: MlpParams) -> Any:
    layers: list[Any] = []
    width = n_features
    for size in settings.hidden:
        layers += [torch.nn.Linear(width, size), torch.nn.ReLU(), torch.nn.Dropout(settings.dropout)]
        width = size
    return torch.nn.Sequential(*layers, torch.nn.Linear(width, 1))


def _split(eras: npt.NDArray[np.int32], settings: MlpParams) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positions that are learned from, and those held out: the latest eras, an embargo apart."""
    distinct = np.unique(eras)
    count = int(settings.stop_fraction * len(distinct))
    if not count:
        return np.arange(len(eras)), np.empty(0, np.int64)
    first = distinct[-count]
    return np.flatnonzero(eras < first - settings.stop_embargo_eras), np.flatnonzero(eras >= first)


def _inputs(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Features around 0 with a size of about 1; missing ones in the middle."""
    scaled = (features - np.float32(2.0)) / np.float32(1.4142135)
    return np.asarray(np.nan_to_num(scaled, copy=False, nan=0.0), np.float32)


def _problem(item: Any) -> tuple[str, str]:
    name = str(item["loc"][0])
    if item["type"] == "extra_forbidden":
        return name, f"the MLP has no such parameter{nearest(name, MlpParams.model_fields)}"
    return name, f"{str(item['msg']).replace('Input should be', 'must be')}, but is {item['input']!r}"
