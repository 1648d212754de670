"""Write the measured part of the model card: `python -m training.gateway.card --model models/router`."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

START, END = "<!-- measured: python -m training.gateway.card -->", "<!-- /measured -->"
NAMES = {"en": "English", "es": "Spanish", "ru": "Russian"}
COLUMNS = ("draw", "blend", "classify", "answer", "ask", "write", "chat", "unclear")


def percent(share: float) -> str:
    """Return a share as a percentage with one digit."""
    return f"{share * 100:.1f}"


def measured(report: Mapping[str, Any]) -> str:
    """Return the tables as Markdown."""
    test = report["test"]
    parts = [_accuracy(test), _confusions(test), _slots(report), _own(report.get("own_intents"))]
    parts += [_anger(report.get("anger")), _costs(report)]
    return "\n\n".join(part for part in parts if part)


def _accuracy(test: Mapping[str, Any]) -> str:
    lines = ["| | rows | right % (95 % interval) | macro F1 |", "|---|---|---|---|"]
    for name, scores in {"all": test, **test["by_language"]}.items():
        low, high = (percent(x) for x in scores["accuracy_95"])
        right = percent(scores["accuracy"])
        shown = f"**{right}**" if name == "all" else right
        lines.append(
            f"| {name} | {scores['rows']} | {shown} ({low} to {high}) | {scores['macro_f1']:.3f} |"
        )
    by_intent = ", ".join(f"{n} {percent(x)}" for n, x in test["by_intent"].items())
    found = ", ".join(
        f"{n} {percent(s['language_recognised'])}" for n, s in test["by_language"].items()
    )
    lines += [
        "",
        f"By intent, right %: {by_intent}. In scope, {test['in_scope_abstained']} messages were called unclear and",
        f"{test['in_scope_misrouted']} went to a wrong service; {test['other_routed']} of the messages out of scope were routed.",
        f"Out-of-scope AUROC of the confidence: {test['out_of_scope_auroc']:.3f}. Language recognised, %: {found}.",
    ]
    return "\n".join(lines)


def _confusions(test: Mapping[str, Any]) -> str:
    tables = [_confusion(NAMES[n], s["confusion"]) for n, s in test["by_language"].items()]
    return "\n\n".join([_confusion("All languages", test["confusion"]), *tables])


def _confusion(name: str, confusion: Mapping[str, Mapping[str, int]]) -> str:
    lines = [f"{name}; rows are right, columns are said:", "", f"| | {' | '.join(COLUMNS)} |"]
    lines.append("|---" * (len(COLUMNS) + 1) + "|")
    for right in COLUMNS:
        cells = (str(confusion[right].get(said, "")) for said in COLUMNS)
        lines.append(f"| {right} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _slots(report: Mapping[str, Any]) -> str:
    lines = ["| slot | by | rows | exact % | token F1 |", "|---|---|---|---|---|"]
    for key, author in (("slots", "another author"), ("slots_more", "the rules' author")):
        for slot, s in report.get(key, {}).items():
            lines.append(
                f"| {slot} | {author} | {s['rows']} | {percent(s['exact'])} | {s['token_f1']:.3f} |"
            )
    return "Slots, the intent given:\n\n" + "\n".join(lines)


def _own(own: Mapping[str, Any] | None) -> str:
    if own is None:
        return ""
    lines = [
        "| set | phrases | found % | found as another own intent % | taken from the router's messages % |",
        "|---|---|---|---|---|",
    ]
    for source in ("clinc150", "banking77"):
        for row in own[source]:
            shares = (percent(row[n]) for n in ("found", "found_wrongly", "taken_by_mistake"))
            lines.append(f"| {source} | {row['phrases']} | {' | '.join(shares)} |")
    head = (
        f"A tenant's own intents: {own['tenants']} tenants of {own['intents']} intents each, drawn from public sets that the\n"
        "router did not learn; held-out phrases, and the 528 test messages that are none of them:"
    )
    return f"{head}\n\n" + "\n".join(lines)


def _anger(anger: Mapping[str, Any] | None) -> str:
    if anger is None:
        return ""
    lines = [
        "| GoEmotions | rows | angry | precision % | recall % | calm, yet called % |",
        "|---|---|---|---|---|---|",
    ]
    for name in ("dev", "test", "test_in_russian"):
        row = anger[name]
        shares = (percent(row[n]) for n in ("precision", "recall", "false_calls"))
        lines.append(f"| {name} | {row['rows']} | {row['angry']} | {' | '.join(shares)} |")
    head = f"A person is called from a probability of anger, annoyance or disgust of {anger['threshold']} (chosen on dev):"
    return f"{head}\n\n" + "\n".join(lines)


def _costs(report: Mapping[str, Any]) -> str:
    speed, training = report["speed"], report["training"]
    return (
        f"One decision with slots takes {speed['p50_ms']:.2f} ms at the median on one core of a shared, loaded {speed['machine']} machine,\n"
        f"{speed['explained_p50_ms']:.2f} ms with the nearest phrases. "
        f"Training: {training['rows']:,} rows, {training['cpu_seconds']} CPU seconds. "
        f"Dev, phrases held out: {percent(training['dev']['accuracy'])} %."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Put the tables between the card's marks."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    options = parser.parse_args(arguments)
    report = json.loads((options.model / "report.json").read_text(encoding="utf-8"))
    path = options.model / "README.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    text = f"{before}{START}\n{measured(report)}\n{END}{after}"
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
