"""Does a decision that was learnt carry over? SFT and DPO on some sources, measured on one that training never saw.

    python -m benchmarks.learning --left_out api_bank --seed 0 --output learning/api_bank-0

SFT is trained once for a source left out and a seed; what varies DPO (`--recipe`, `--set dpo.settings.beta=0.1`) starts
from the SFT model that `--sft FOLDER` names. Rates of right decisions by greedy generation, by source; differences of
SFT + DPO from SFT with a paired bootstrap over dialogues.
"""

import argparse
import copy
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
import yaml

from turnpoint.cli.demo import draw_dialogues, draw_pairs
from turnpoint.cli.demo_recipe import stage_config
from turnpoint.dialogue import Dialogue
from turnpoint.evaluation import evaluate_decisions
from turnpoint.evaluation.items import KINDS
from turnpoint.memory import keep_freed_memory
from turnpoint.models import load_model_and_tokenizer
from turnpoint.recipes.dialogues import demo_parts
from turnpoint.template import ensure_tool_template
from turnpoint.training import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

RECIPE = Path(__file__).parents[1] / "src" / "turnpoint" / "recipes" / "learning.yaml"
FILES = {  # how the files of a source begin
    "glaive": ("glaive_toolcall_en_demo",),
    "api_bank": ("dialogues",),
    "sgd": ("train_openai_messages", "dev_openai_messages"),
}
RESAMPLES = 2000
Items = Sequence[Mapping[str, Any]]


def by_source(dialogues: Sequence[Dialogue]) -> dict[str, list[Dialogue]]:
    """Dialogues by where they come from."""
    found: dict[str, list[Dialogue]] = {name: [] for name in FILES}
    for dialogue in dialogues:
        name = next(name for name, begins in FILES.items() if dialogue.source.startswith(begins))
        found[name].append(dialogue)
    return found


def bootstrap(before: Items, after: Items, kind: str | None, seed: int = 0) -> tuple[float, float, float]:
    """Difference of the rates of right decisions, and its 95% interval by resampling dialogues, in points.

    Args:
        before: verdicts on the turns of a source, as `DecisionReport.as_dict` gives them.
        after: on the same turns.
        kind: the decision whose turns count; None for all.
        seed: of the resampling.
    """
    by_dialogue: dict[str, list[int]] = defaultdict(list)
    for a, b in zip(before, after, strict=True):
        assert a["source"] == b["source"], "not the same turns"
        if kind is None or a["decision"] == kind:
            by_dialogue[a["source"].partition(" message ")[0]].append(b["passed"] - a["passed"])
    groups = list(by_dialogue.values())

    def mean(sample: Sequence[list[int]]) -> float:
        return 100 * sum(map(sum, sample)) / sum(map(len, sample))

    random = Random(seed)
    drawn = sorted(mean(random.choices(groups, k=len(groups))) for _ in range(RESAMPLES))
    return mean(groups), drawn[int(0.025 * RESAMPLES)], drawn[int(0.975 * RESAMPLES)]


def main() -> None:
    """Train, measure, and write everything to the output folder."""
    given = _arguments()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    recipe = _changed(yaml.safe_load(Path(given.recipe).read_text(encoding="utf-8")), given.set)
    output, seed = Path(given.output), given.seed
    output.mkdir(parents=True, exist_ok=True)
    parts = demo_parts()
    everything = by_source([*parts.sft, *parts.pairs, *parts.dev])
    left_out = everything[given.left_out]
    train = {name: by_source(part) for name, part in (("sft", parts.sft), ("pairs", parts.pairs))}
    for_sft, for_pairs = (
        [d for name, ds in train[stage].items() if name != given.left_out for d in ds] for stage in train
    )
    held_back = {name: ds for name, ds in by_source(parts.dev).items() if name != given.left_out}
    results: dict[str, Any] = {"left_out": given.left_out, "seed": seed, "recipe": recipe, "seconds": {}}

    model, tokenizer = load_model_and_tokenizer(given.sft or "demo")
    ensure_tool_template(tokenizer)

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.monotonic()
        found = work()
        results["seconds"][name] = round(time.monotonic() - start)
        print(f"{name}: {results['seconds'][name]} s", flush=True)
        return found

    def evaluated(name: str) -> dict[str, Any]:
        judged = copy.deepcopy(model).to(torch.bfloat16)
        settings = recipe["evaluation"]
        reports = {}
        sources = [(given.left_out, left_out, settings["left_out"])]
        sources += [(other, ds, settings["others"]) for other, ds in held_back.items() if settings["others"]]
        for source, dialogues, per_kind in sources:
            report = evaluate_decisions(
                judged, tokenizer, dialogues, per_kind=per_kind, max_new_tokens=settings["max_new_tokens"]
            )
            print(f"{name} on {source}: {dict(report.rows())}", flush=True)
            reports[source] = report.as_dict()
        return reports

    reports: dict[str, dict[str, Any]] = {}
    if given.base:
        reports["base"] = timed("evaluate base", lambda: evaluated("base"))
    if given.sft is None:
        config = stage_config(SFTConfig, recipe["sft"]["settings"], "sft.settings", output / "sft", seed)
        dialogues = draw_dialogues(for_sft, tokenizer, recipe["sft"], seed)
        trainer = SFTTrainer(model, config, train_dataset=dialogues, processing_class=tokenizer)
        timed("SFT", trainer.train)
        trainer.save_model()
        model.zero_grad(set_to_none=True)
        del trainer
    known = Path(given.sft or output / "sft") / "decisions.json"
    if not known.exists():
        known.write_text(json.dumps(timed("evaluate SFT", lambda: evaluated("SFT"))), encoding="utf-8")
    reports["SFT"] = json.loads(known.read_text(encoding="utf-8"))
    dpo = stage_config(DPOConfig, recipe["dpo"]["settings"], "dpo.settings", output / "dpo", seed)
    pairs = draw_pairs(for_pairs, tokenizer, recipe["pairs"], seed)
    results["pairs"] = Counter(str(pair.about["row"]) for pair in pairs)
    dpo_trainer = DPOTrainer(model, args=dpo, train_dataset=pairs, processing_class=tokenizer)
    timed("DPO", dpo_trainer.train)
    model.zero_grad(set_to_none=True)
    del dpo_trainer
    reports["SFT + DPO"] = timed("evaluate SFT + DPO", lambda: evaluated("SFT + DPO"))

    results["reports"] = reports
    results["differences"] = {
        source: {
            str(kind or "all"): bootstrap(reports["SFT"][source]["items"], report["items"], kind)
            for kind in (*KINDS, None)
            if kind is None or report["rates"][kind] is not None
        }
        for source, report in reports["SFT + DPO"].items()
    }
    (output / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8")
    for source, differences in results["differences"].items():
        for kind, (mean, low, high) in differences.items():
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
