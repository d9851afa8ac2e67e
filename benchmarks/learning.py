"""Does a decision that was learnt carry over? SFT and DPO on some sources, measured on one that training never saw.

    python -m benchmarks.learning --left_out api_bank --seed 0 --output learning/api_bank-0

SFT is trained once for a source left out and a seed; what varies DPO (`--recipe`, `--set dpo.settings.beta=0.1`) starts
from the SFT model that `--sft FOLDER` names. DPO goes in rounds, each on a part of the pairs: the model replies to
their prompts; where it decides wrongly its own reply is the rejected side, where it decides rightly the pair stays as
it was built. Rates of right decisions by greedy generation, by source; differences of SFT + DPO from SFT with a paired
bootstrap over dialogues.
"""

import argparse
import copy
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.cli.demo import draw_dialogues, draw_pairs
from turnpoint.cli.demo_recipe import stage_config
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.evaluation import evaluate_decisions
from turnpoint.evaluation.bootstrap import bootstrap
from turnpoint.evaluation.items import KINDS
from turnpoint.evaluation.samples import gold_scores
from turnpoint.memory import keep_freed_memory
from turnpoint.models import load_model_and_tokenizer
from turnpoint.pairs import prompts_of, sample_pairs
from turnpoint.recipes.dialogues import demo_parts
from turnpoint.sampling import ModelSampler, Sampling
from turnpoint.template import ensure_tool_template
from turnpoint.training import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

RECIPE = Path(__file__).parents[1] / "src" / "turnpoint" / "recipes" / "learning.yaml"
FILES = {  # how the files of a source begin
    "glaive": ("glaive_toolcall_en_demo",),
    "api_bank": ("dialogues",),
    "sgd": ("train_openai_messages", "dev_openai_messages"),
}
Recipe = Mapping[str, Any]


class Data(NamedTuple):
    """Dialogues of a run: what it trains on, and what it is measured on, by source."""

    sft: list[Dialogue]
    pairs: list[Dialogue]
    left_out: list[Dialogue]
    held_back: dict[str, list[Dialogue]]


class Run:
    """One run: a model that is trained stage by stage, and what is measured on the way.

    Args:
        given: the command line.
        recipe: settings, with `--set` applied.
    """

    def __init__(self, given: argparse.Namespace, recipe: Recipe) -> None:
        self.given, self.recipe, self.output = given, recipe, Path(given.output)
        self.output.mkdir(parents=True, exist_ok=True)
        self.data = data_without(given.left_out)
        self.model: PreTrainedModel
        self.tokenizer: PreTrainedTokenizerFast
        self.model, self.tokenizer = load_model_and_tokenizer(given.sft or "demo")
        ensure_tool_template(self.tokenizer)
        self.results: dict[str, Any] = {"left_out": given.left_out, "seed": given.seed, "recipe": recipe, "seconds": {}}

    def sft(self) -> None:
        """Train the SFT model, unless the command line names one."""
        if self.given.sft is not None:
            return
        folder = self.output / "sft"
        config = stage_config(SFTConfig, self.recipe["sft"]["settings"], "sft.settings", folder, self.given.seed)
        dialogues = draw_dialogues(self.data.sft, self.tokenizer, self.recipe["sft"], self.given.seed)
        trainer = SFTTrainer(self.model, config, train_dataset=dialogues, processing_class=self.tokenizer)
        with self._timed("SFT"):
            trainer.train()
        trainer.save_model()
        self.model.zero_grad(set_to_none=True)

    def dpo(self) -> None:
        """Train with DPO, round by round."""
        rounds = self.recipe["dpo"]["rounds"]
        pairs = draw_pairs(self.data.pairs, self.tokenizer, self.recipe["pairs"], self.given.seed)
        self.results["pairs"] = Counter(str(pair.about["row"]) for pair in pairs)
        for number in range(rounds):
            part = pairs[number * len(pairs) // rounds : (number + 1) * len(pairs) // rounds]
            if self.recipe["dpo"]["own_replies"]:
                with self._timed(f"replies {number + 1}"):
                    part = with_own_replies(self._judged(), self.tokenizer, part, self.recipe["evaluation"])
            folder = self.output / f"dpo-{number + 1}"
            config = stage_config(DPOConfig, self.recipe["dpo"]["settings"], "dpo.settings", folder, self.given.seed)
            trainer = DPOTrainer(self.model, args=config, train_dataset=part, processing_class=self.tokenizer)
            with self._timed(f"DPO {number + 1}"):
                trainer.train()
            self.model.zero_grad(set_to_none=True)

    def evaluate(self, name: str) -> dict[str, Any]:
        """Decisions on the source left out and, if the recipe says so, on held-back turns of the others."""
        judged, settings, reports = self._judged(), self.recipe["evaluation"], {}
        sources = [(self.given.left_out, self.data.left_out, settings["left_out"])]
        sources += [(other, each, settings["others"]) for other, each in self.data.held_back.items()]
        with self._timed(f"evaluate {name}"):
            for source, dialogues, per_kind in sources:
                if per_kind:
                    report = evaluate_decisions(
                        judged,
                        self.tokenizer,
                        dialogues,
                        per_kind=per_kind,
                        max_new_tokens=settings["max_new_tokens"],
                    )
                    print(f"{name} on {source}: {dict(report.rows())}", flush=True)
                    reports[source] = report.as_dict()
        return reports

    def evaluate_sft(self) -> dict[str, Any]:
        """As `evaluate`; what was measured of an SFT model is kept beside it."""
        known = Path(self.given.sft or self.output / "sft") / "decisions.json"
        if not known.exists():
            known.write_text(json.dumps(self.evaluate("SFT")), encoding="utf-8")
        reports: dict[str, Any] = json.loads(known.read_text(encoding="utf-8"))
        return reports

    def _judged(self) -> PreTrainedModel:
        return copy.deepcopy(self.model).to(torch.bfloat16)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.results["seconds"][name] = round(time.monotonic() - start)
        print(f"{name}: {self.results['seconds'][name]} s", flush=True)


def with_own_replies(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, pairs: Sequence[PreferencePair], settings: Recipe
) -> list[PreferencePair]:
    """The pairs with the model's own reply rejected, where that decides wrongly."""
    sampler = ModelSampler(model, tokenizer, Sampling(settings["max_new_tokens"], temperature=0))
    samples = list(sampler.draw(prompts_of(pairs), set(), 1, 0))
    made: list[PreferencePair] = []
    for pair, drawn, scores in zip(pairs, samples, gold_scores(samples), strict=True):
        own = sample_pairs([drawn], [scores], gold=1.0).pairs
        made.append(own[0] if own else pair)
    print(f"own replies: {sum(pair.kind == 'samples' for pair in made)} of {len(made)} decide wrongly", flush=True)
    return made


def data_without(left_out: str) -> Data:
    """The demo's dialogues in parts, without those of one source, which are for measuring."""
    parts = demo_parts()
    everything = by_source([*parts.sft, *parts.pairs, *parts.dev])
    train = [[d for name, ds in by_source(part).items() if name != left_out for d in ds] for part in parts[:2]]
    held_back = {name: ds for name, ds in by_source(parts.dev).items() if name != left_out}
    return Data(train[0], train[1], everything[left_out], held_back)


def by_source(dialogues: Sequence[Dialogue]) -> dict[str, list[Dialogue]]:
    """Dialogues by where they come from."""
    found: dict[str, list[Dialogue]] = {name: [] for name in FILES}
    for dialogue in dialogues:
        name = next(name for name, begins in FILES.items() if dialogue.source.startswith(begins))
        found[name].append(dialogue)
    return found


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """By source and decision, how much the rate of right decisions rose, in points, and its 95% interval."""
    return {
        source: {
            str(kind or "all"): bootstrap(before[source]["items"], report["items"], kind)
            for kind in (*KINDS, None)
            if kind is None or report["rates"][kind] is not None
        }
        for source, report in after.items()
    }


def main() -> None:
    """Train, measure, and write everything to the output folder."""
    given = _arguments()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    run = Run(given, _changed(yaml.safe_load(Path(given.recipe).read_text(encoding="utf-8")), given.set))
    reports = {"base": run.evaluate("base")} if given.base else {}
    run.sft()
    reports["SFT"] = run.evaluate_sft()
    run.dpo()
    reports["SFT + DPO"] = run.evaluate("SFT + DPO")
    gained = differences(reports["SFT"], reports["SFT + DPO"])
    results = run.results | {"reports": reports, "differences": gained}
    (run.output / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8")
    for source, of_source in gained.items():
        for kind, (mean, low, high) in of_source.items():
            print(f"{source:10} {kind:12} {mean:+6.1f} points [{low:+.1f}, {high:+.1f}]", flush=True)


def _changed(recipe: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """The recipe with `path.to.field=value` set."""
    for change in changes:
        path, _, value = change.partition("=")
        *parents, last = path.split(".")
        part = recipe
        for name in parents:
            part = part[name]
        part[last] = yaml.safe_load(value)
    return recipe


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--left_out", choices=FILES, default="api_bank", help="source that training does not see")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", required=True, help="folder for models, replies and results.json")
    parser.add_argument("--recipe", default=str(RECIPE))
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="fields of the recipe to change")
    parser.add_argument(
        "--sft", help="SFT model of the same source and seed to begin with; its decisions are kept there"
    )
    parser.add_argument("--base", action="store_true", help="measure the base model as well")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


if __name__ == "__main__":
    main()
