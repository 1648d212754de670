"""What the public sets give the router: whole messages of one intent, and fillers for our templates."""

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLINC = {
    "chat": "who_made_you meaning_of_life who_do_you_work_for do_you_have_pets what_are_your_hobbies fun_fact "
    "what_is_your_name where_are_you_from goodbye thank_you greeting tell_joke are_you_a_bot how_old_are_you "
    "what_can_i_ask_you",
    "ask": "calories nutrition_info ingredient_substitution food_last cook_time oil_change_how tire_change jump_start "
    "international_visa vaccines carry_on plug_type definition improve_credit_score",
    "write": "translate",
    "other": "balance transfer pay_bill freeze_account spending_history transactions report_fraud bill_due "
    "confirm_reservation restaurant_reservation cancel_reservation play_music todo_list_update reminder "
    "reminder_update calendar_update order_status update_playlist shopping_list calendar next_song order todo_list "
    "shopping_list_update smart_home current_location uber traffic gas distance directions schedule_maintenance "
    "flight_status book_flight book_hotel car_rental weather alarm date find_phone share_location timer make_call "
    "time roll_dice flip_coin text pto_request schedule_meeting meeting_schedule pto_balance yes no repeat cancel "
    "change_volume change_speed sync_device reset_settings whisper_mode calculator measurement_conversion",
}
HWU = {
    "chat": "general_joke general_praise",
    "ask": "qa_definition qa_factoid",
    "other": "alarm_query alarm_remove alarm_set audio_volume_down audio_volume_mute audio_volume_up calendar_query "
    "calendar_remove calendar_set datetime_convert datetime_query email_addcontact email_query email_sendemail "
    "iot_cleaning iot_coffee iot_hue_lightchange iot_hue_lightdim iot_hue_lightoff iot_hue_lightup iot_wemo_off "
    "lists_createoradd lists_query lists_remove music_settings news_query play_audiobook play_game play_music "
    "play_podcasts play_radio recommendation_events recommendation_locations social_post takeaway_order "
    "transport_query transport_taxi transport_ticket transport_traffic weather_query qa_stock qa_currency qa_maths",
}
QUESTIONS = {
    "en": ("en_tydiqa_goldp_train", "en_squadshifts_wiki"),
    "es": ("es_squad_es_dev_small",),
    "ru": ("ru_tydiqa_goldp_dev",),
}
NAMES = {"[NAME]": "Alex", "[RELIGION]": "faith"}


@dataclass(frozen=True, slots=True)
class Source:
    """Messages of one intent from one set, and how many of them to take."""

    name: str
    language: str
    intent: str
    limit: int
    texts: list[str]


def sources(data: Path) -> Iterator[Source]:
    """List the public messages with a clear intent; mostly English, which is what exists openly."""
    intent = data / "intent"
    yield Source(
        "parti", "en", "draw", 700, [row[0] for row in _table(intent / "parti_prompts.tsv.gz")[1:]]
    )
    clinc = json.loads(_text(intent / "clinc_oos_full.json.gz"))["train"]
    for ours, theirs in CLINC.items():
        yield Source(
            "clinc150", "en", ours, 500, [t for t, label in clinc if label in theirs.split()]
        )
    hwu = _table(intent / "hwu64_fold1_train.tsv.gz")[1:]
    for ours, theirs in HWU.items():
        yield Source("hwu64", "en", ours, 500, [row[1] for row in hwu if row[0] in theirs.split()])
    banking = list(csv.reader(io.StringIO(_text(intent / "banking77_train.csv.gz"))))
    yield Source("banking77", "en", "ask", 250, [row[0] for row in banking if row[0].endswith("?")])
    medquad = [str(row["question"]) for row in _lines(data / "medquad" / "medquad.jsonl.gz")]
    yield Source("medquad", "en", "ask", 400, medquad)
    for language, names in QUESTIONS.items():
        for name in names:
            questions = [str(row["question"]) for row in _qa(data, name)]
            yield Source(name, language, "ask", 500, list(dict.fromkeys(questions)))
    yield Source("instructions", "en", "write", 600, list(_instructions(intent)))


def fillers(data: Path, language: str) -> dict[str, list[str]]:
    """Return real entries for the lists of our templates: passages, questions, feelings, things to draw."""
    passages: list[str] = []
    questions: list[str] = []
    for name in QUESTIONS[language]:
        for row in _qa(data, name)[::4]:
            passages.append(_window(row["context"], row["answers"][0]["answer_start"]))
            questions.append(row["question"])
    lists = {"passage": passages[:800], "passage_question": questions[:800]}
    lists["plain_text"] = [p for p in passages if len(p) < 200][:100]
    if language == "en":
        prompts = [row[0] for row in _table(data / "intent" / "parti_prompts.tsv.gz")[1:]]
        lists["thing"] = [p for p in prompts if len(p) < 60][:100]
        lists["feeling_text"] = _feelings(
            _table(data / "goemotions" / "goemotions_train.tsv.gz"), 0
        )
    if language == "ru":
        rows = csv.reader(
            io.StringIO(_text(data / "goemotions" / "ru_goemotions_validation.csv.gz"))
        )
        lists["feeling_text"] = _feelings(list(rows)[1:], 0)
    return lists


def _feelings(rows: list[list[str]], column: int) -> list[str]:
    texts = [row[column] for row in rows[:1200]]
    for mark, word in NAMES.items():
        texts = [text.replace(mark, word) for text in texts]
    return [text for text in texts if "[" not in text][:600]


def _window(context: str, at: int) -> str:
    """Cut one to three whole sentences around the answer."""
    starts = [0, *(m.end() for m in re.finditer(r"[.!?]\s+", context))]
    first = max(i for i, start in enumerate(starts) if start <= at)
    chosen = [*starts, len(context)][first : first + 1 + at % 3 + 1]
    return context[chosen[0] : chosen[-1]].strip()[:600]


def _instructions(folder: Path) -> Iterator[str]:
    for row in _lines(folder / "self_instruct_seed_tasks.jsonl.gz"):
        for instance in row["instances"][:1]:
            yield f"{row['instruction']} {instance['input']}"[:500]
            yield row["instruction"]
    for row in _lines(folder / "self_instruct_user_oriented.jsonl.gz"):
        yield f"{row['instruction']} {row['instances'][0]['input']}"[:500]
    for name in ("vicuna_bench_questions", "mt_bench_questions"):
        for row in _lines(folder / f"{name}.jsonl.gz"):
            if row["category"] in {"writing", "roleplay", "coding", "generic", "extraction"}:
                yield row["turns"][0][:500]


def _qa(data: Path, name: str) -> list[dict[str, Any]]:
    rows = _lines(data / "qa" / f"{name}.jsonl.gz")
    return [row for row in rows if not row.get("xquad_overlap") and row["answers"]]


def _text(path: Path) -> str:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read()


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _text(path).split("\n") if line]


def _table(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in _text(path).split("\n") if line]
