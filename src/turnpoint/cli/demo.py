"""`turnpoint demo`: the main job on the embedded model and data, from real dialogues to rates of right decisions."""

import copy
import gc
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.cli.demo_recipe import RECIPE, read_recipe, stage_config
from turnpoint.cli.given import Given
from turnpoint.cli.groups import OutputOptions
from turnpoint.cli.loading import say
from turnpoint.cli.options import Verb
from turnpoint.cli.output import console, print_json
from turnpoint.data import write_pairs
from turnpoint.dialogue import Decision, Dialogue, PreferencePair
from turnpoint.errors import CheckpointError
from turnpoint.evaluation import DecisionReport, calibrated, evaluate_choices, evaluate_decisions
from turnpoint.memory import keep_freed_memory, return_freed_memory
from turnpoint.models import load_model_and_tokenizer
from turnpoint.pairs import PhraseWriter, trajectory_pairs
from turnpoint.progress import bars_of_transformers
from turnpoint.recipes.dialogues import demo_parts
from turnpoint.report import comparison, markdown, plot_rewards
from turnpoint.template import Renderer, TokenizedPair, ensure_tool_template
from turnpoint.training import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from turnpoint.training.run_folder import written_aside

SOURCE = "demo dialogues of Glaive, API-Bank and SGD (CC BY-SA 4.0); licences in turnpoint/recipes/data"
GENERATED = "Decisions by greedy generation: share of held-back turns decided rightly"
CHOSEN = "Decisions by choice: the likeliest of four turns, mean log-prob per token"
CALIBRATED = "The same choice, each kind's log-prob measured from its mean over all turns"


@dataclass(frozen=True, kw_only=True)
class DemoOptions(OutputOptions):
    """Where the demo writes, and what varies it."""

    output: str = field(default="runs/demo", metadata={"help": "folder for both models, tables, JSON and the plot"})
    recipe: str = field(
        default=str(RECIPE), metadata={"help": "YAML file with the settings; a copy is yours to change"}
    )
    seed: int = field(default=0, metadata={"help": "seed of the draws and the training"})


VERB = Verb(
    name="demo",
    about=(
        "Teach the embedded SmolLM2-135M-Instruct when to call a tool, to ask, to answer and to say no: SFT, pairs out"
        " of dialogues, DPO with the DiaTool objective, and an evaluation of the three models on held-back dialogues."
    ),
    groups={"Demo": DemoOptions},
)


@bars_of_transformers()
def run(given: Given) -> None:
    """Run the main job."""
    options = given.build(DemoOptions)
    recipe, where = read_recipe(options.recipe), f"recipe {options.recipe}"
    output = Path(options.output)
    sft = stage_config(SFTConfig, recipe["sft"]["settings"], f"{where}: sft.settings", output / "sft", options.seed)
    dpo = stage_config(DPOConfig, recipe["dpo"]["settings"], f"{where}: dpo.settings", output / "dpo", options.seed)
    _make(output)
    keep_freed_memory()  # between the steps; evaluation is as hungry as training
    with _step("1/7 load SmolLM2-135M-Instruct"):
        model, tokenizer = load_model_and_tokenizer("demo")
        ensure_tool_template(tokenizer)
    with _step("2/7 read and split dialogues"):
        parts = demo_parts()
        say(f"      {len(parts.sft)} for SFT, {len(parts.pairs)} for pairs, {len(parts.dev)} held back")
    judge = _Judge(tokenizer, parts.dev, recipe["evaluation"] | {"seed": options.seed})
    with _step("3/7 evaluate the base model"):
        judge.add("base", model)
    with _step("4/7 SFT"):
        dialogues = draw_dialogues(parts.sft, tokenizer, recipe["sft"], options.seed)
        _train(SFTTrainer(model, sft, train_dataset=dialogues, processing_class=tokenizer))
    with _step("5/7 evaluate SFT"):
        judge.add("SFT", model)
    with _step("6/7 pairs and DPO (DiaTool)"):
        pairs = draw_pairs(parts.pairs, tokenizer, recipe["pairs"], options.seed)
        _train(DPOTrainer(model, args=dpo, train_dataset=pairs, processing_class=tokenizer))
    with _step("7/7 evaluate SFT + DPO"):
        judge.add("SFT + DPO", model)
    held_back = draw_pairs(parts.dev, tokenizer, recipe["pairs"], options.seed)
    with written_aside(output, main=True, wait=lambda: None) as aside:
        judge.save(aside)
        write_pairs(pairs, aside / "pairs.jsonl")
        write_pairs(held_back, aside / "held-back-pairs.jsonl")
        plot_rewards(output / "dpo" / "metrics.jsonl", aside / "rewards.png")
    if options.json:
        print_json(judge.as_dict())
    else:
        judge.show()
        _say_what_next(output)


class _Judge:
    """Collects what each model decides at the same held-back turns."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, dialogues: Sequence[Dialogue], settings: dict[str, Any]):
        self.tokenizer, self.dialogues, self.settings = tokenizer, dialogues, settings
        self.tables: dict[str, dict[str, DecisionReport]] = {GENERATED: {}, CHOSEN: {}, CALIBRATED: {}}

    def add(self, name: str, model: PreTrainedModel) -> None:
        """Evaluate a copy of the model in both ways, in bfloat16."""
        judged = copy.deepcopy(model).to(torch.bfloat16)
        draw = {key: self.settings[key] for key in ("per_kind", "seed")}
        self.tables[GENERATED][name] = evaluate_decisions(
            judged, self.tokenizer, self.dialogues, progress=f"{name}: generate", **self.settings
        )
        if note := self.tables[GENERATED][name].note_on_cuts():
            say(f"      {note}")
        choices = evaluate_choices(judged, self.tokenizer, self.dialogues, progress=f"{name}: choose", **draw)
        self.tables[CHOSEN][name] = choices
        self.tables[CALIBRATED][name] = calibrated(choices)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            key: {name: report.as_dict() for name, report in reports.items()}
            for key, reports in zip(("generated", "chosen", "calibrated"), self.tables.values(), strict=True)
        }

    def save(self, output: Path) -> None:
        """Write `evaluation.json` with every reply, and the tables as Markdown."""
        text = json.dumps(self.as_dict(), ensure_ascii=False, indent=1)
        (output / "evaluation.json").write_text(text, encoding="utf-8")
        tables = "\n\n".join(f"{title}\n\n{markdown(reports)}" for title, reports in self.tables.items())
        (output / "tables.md").write_text(tables + "\n", encoding="utf-8")

    def show(self) -> None:
        """Print the tables."""
        for title, reports in self.tables.items():
            console().print(f"\n{title}", comparison(reports), sep="\n")


def _make(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{output}: cannot be made ({error.strerror}); name another --output") from error


def _train(trainer: SFTTrainer | DPOTrainer) -> None:
    """Train, save, and free the gradients; the optimiser goes with the trainer."""
    trainer.data_report.splits["train"].source = SOURCE
    trainer.train()
    trainer.save_model()
    trainer.model.zero_grad(set_to_none=True)


def draw_dialogues(
    dialogues: Sequence[Dialogue], tokenizer: PreTrainedTokenizerFast, settings: dict[str, Any], seed: int
) -> list[Dialogue]:
    """As many whole dialogues, beginnings that end in a question, and rejections as the recipe asks for."""
    renderer, longest = Renderer(tokenizer), settings["longest"]

    def short(candidates: Sequence[Dialogue]) -> list[Dialogue]:
        return [each for each in candidates if len(renderer.tokenize(each).input_ids) <= longest]

    whole = short(dialogues)
    begun = [each for each in dialogues if each not in whole] + _open_requests(dialogues, seed)
    asking = [each for each in map(_up_to_first_question, begun) if each is not None]
    drawn: list[Dialogue] = []
    for count, what, candidates in (
        (settings["dialogues"], "whole dialogues", whole),
        (settings["questions"], "longer or rewritten dialogues, up to their first slot question,", short(asking)),
        (settings["rejections"], "requests without their tools, and a rejection,", short(_rejections(dialogues, seed))),
    ):
        drawn += Random(seed).sample(candidates, min(count, len(candidates)))
        say(f"      {min(count, len(candidates))} of {len(candidates)} {what} of at most {longest} tokens")
    Random(seed).shuffle(drawn)
    return drawn


def _up_to_first_question(dialogue: Dialogue) -> Dialogue | None:
    """The dialogue up to the first turn that asks for a slot."""
    asking = [i for i in dialogue.turns if dialogue.messages[i].decision is Decision.SLOT]
    return dialogue.model_copy(update={"messages": dialogue.messages[: asking[0] + 1]}) if asking else None


def _rejections(dialogues: Sequence[Dialogue], seed: int) -> list[Dialogue]:
    """First requests with other tools than they need, and the rejection that is right then."""
    return _chosen_of("missing tool", dialogues, seed)


def _open_requests(dialogues: Sequence[Dialogue], seed: int) -> list[Dialogue]:
    """Requests that leave out what they said, so that asking is no habit of some sources alone."""
    return _chosen_of("invented call", dialogues, seed, sets=("easy",))


def _chosen_of(
    kind: str, dialogues: Sequence[Dialogue], seed: int, sets: Sequence[str] = ("easy", "hard", "beyond")
) -> list[Dialogue]:
    pairs = trajectory_pairs(dialogues, writer=PhraseWriter(), kinds=[kind], seed=seed).pairs
    return [
        Dialogue(messages=(*pair.prompt, *pair.chosen), tools=pair.tools, id=pair.id, source=pair.source)
        for pair in pairs
        if pair.about["set"] in sets
    ]


def draw_pairs(
    dialogues: Sequence[Dialogue], tokenizer: PreTrainedTokenizerFast, settings: dict[str, Any], seed: int
) -> list[PreferencePair]:
    """As many pairs of each row as the recipe asks for; pairs of one dialogue stay beside each other."""
    renderer, rows, longest = Renderer(tokenizer), settings["rows"], settings["longest"]
    order = Random(seed).sample(dialogues, len(dialogues))
    built = trajectory_pairs(order, writer=PhraseWriter(), distractors=settings["distractors"], seed=seed)
    drawn: list[PreferencePair] = []
    counts: Counter[str] = Counter()
    for pair in built.pairs:
        row = str(pair.about["row"])
        if counts[row] < rows.get(row, 0) and _longest_side(renderer.tokenize_pair(pair)) <= longest:
            counts[row] += 1
            drawn.append(pair)
    listed = ", ".join(f"{count} {row}" for row, count in counts.items())
    say(f"      {len(drawn)} of {len(built.pairs)} pairs, at most {longest} tokens a side: {listed}")
    # Pairs of the first dialogues fill most rows: in that order training would end on the others alone.
    groups = [list(group) for _, group in groupby(drawn, key=lambda pair: pair.dialogue_id)]
    Random(seed).shuffle(groups)
    return [pair for group in groups for pair in group]


def _longest_side(pair: TokenizedPair) -> int:
    return max(len(pair.chosen.input_ids), len(pair.rejected.input_ids))


@contextmanager
def _step(title: str) -> Iterator[None]:
    say(title)
    start = time.monotonic()
    yield
    gc.collect()  # a trainer and its optimiser hold each other
    return_freed_memory()
    say(f"      {time.monotonic() - start:.0f} s")


def _say_what_next(output: Path) -> None:
    print(f"Rewards and margins over steps: {output / 'rewards.png'}")
    print(f"Every reply: {output / 'evaluation.json'}; tables: {output / 'tables.md'}")
    print(f"The pairs: {output / 'pairs.jsonl'}; of held-back dialogues: {output / 'held-back-pairs.jsonl'}")
    print(f"Chat with it: turnpoint chat {output / 'dpo'}")
    print(f'Load it: AutoModelForCausalLM.from_pretrained("{output / "dpo"}")')
