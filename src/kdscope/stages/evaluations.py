"""The stages that evaluate a model: the items of each task, and the model's answers to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from kdscope.core.extensions import origins
from kdscope.models.hardware import resolve_device, resolve_dtype
from kdscope.models.source import MODEL_FILES, ModelPlace
from kdscope.pipeline.fingerprint import JSON, HashCache, fingerprint, hash_tree
from kdscope.pipeline.stage import Stage
from kdscope.stages import make_stage
from kdscope.stages.estimate import Sizes
from kdscope.stages.identity import model_source_place, source_identity
from kdscope.stages.own_tasks import definitions_of
from kdscope.stages.parameters import threads_of
from kdscope.stages.rows import content_of_task, task_place
from kdscope.study.arms import ModelSource
from kdscope.study.schema import Evaluation, Runtime, Tasks
from kdscope.tasks import TaskRegistry


@dataclass
class Evaluations:
    """Makes the evaluating stages of a study, or of a model by itself.

    Attributes:
        tasks: What is asked, task names canonical.
        settings: How it is answered.
        template: The prompt template.
        runtime: Where it runs.
        registry: The tasks, a person's own included.
        cache: Content hashes of model and data files.
        sizes: What is known of sizes, for costs.
        device: The device resolved.
        dtype: The precision resolved.
    """

    tasks: Tasks
    settings: Evaluation
    template: str
    runtime: Runtime
    registry: TaskRegistry
    cache: HashCache
    sizes: Sizes
    device: str = field(init=False)
    dtype: str = field(init=False)
    _contents: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.device = resolve_device(self.runtime.device)
        self.dtype = resolve_dtype(self.runtime.dtype, self.device)
        self.sizes = replace(self.sizes, bytes_per_weight=4 if self.dtype == "float32" else 2)

    def items(self, name: str) -> Stage:
        """The items of one task."""
        task = self.registry.get(name)
        place = task_place(self.tasks, task)
        if name not in self._contents:  # asked for by every model
            self._contents[name] = content_of_task(task, place, self.cache)
        parameters: dict[str, JSON] = {
            "task": name,
            "content": self._contents[name],
            "limit": place.get("limit"),
            **definitions_of(self.registry, [name]),
        }
        return make_stage("prepare_task", f"items of {name}", parameters, {}, context=place)

    def of(
        self,
        label: str,
        source: ModelSource,
        inputs: Mapping[str, Stage] | None = None,
        adapter: Path | None = None,
        settings: Evaluation | None = None,
    ) -> dict[str, Stage]:
        """One model on every task.

        Args:
            label: What tables call it.
            source: Where it comes from.
            inputs: The stages that pruned or trained it (`base`, `model`), if any did.
            adapter: A folder with an adapter to put on it.
            settings: How it answers, if not as all others.

        Raises:
            ModelError: A file of the model cannot be read.
        """
        settings = settings or self.settings
        decoding = settings.model_dump(mode="json", exclude={"base_models"})
        if settings.sampling_temperature == 0:
            decoding |= {"top_p": 1.0, "decoding_seeds": [0]}  # greedy decoding knows neither
        parameters: dict[str, JSON] = {
            "model": source_identity(source, self.cache),
            "evaluation": decoding,
            "template": self.template,
            "dtype": self.dtype,
        }
        where: Any = model_source_place(source)
        place = ModelPlace(**where)
        if extensions := origins(("backend", settings.backend)):
            parameters["extensions"] = list(extensions)
        if adapter is not None:
            parameters["adapter"] = fingerprint(hash_tree(adapter, MODEL_FILES, self.cache))
            place = replace(place, adapter=str(adapter))
        context: dict[str, JSON] = {
            "device": self.device,
            "threads": threads_of(self.runtime),
            "base": asdict(place),
        }
        return {
            task: make_stage(
                "evaluate_model",
                f"{task}: {label}",
                {"task": task, **parameters, **definitions_of(self.registry, [task])},
                {"items": self.items(task), **(inputs or {})},
                context=context,
                cost=self.sizes.evaluation(self.sizes.of(source), task, settings.max_new_tokens),
            )
            for task in self.tasks.names
        }
