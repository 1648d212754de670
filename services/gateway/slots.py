"""Find what a service needs inside a message: what to draw, what to classify, the question, the weights.

Every text slot is a piece of the message as it was written, never a rewording. Patterns cover English,
Spanish and Russian side by side: a message may mix them.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from services.gateway.features import QUOTED

FLAGS: Final = re.IGNORECASE | re.DOTALL
QUOTES: Final = "«»“”„\"'"


def _start(*alternatives: str) -> re.Pattern[str]:
    """Match any alternative at the start of the text, as whole words, with the spaces and marks after it."""
    return re.compile(rf"[¿¡\s]*(?:{'|'.join(alternatives)})(?!\w)[\s,!:]*", FLAGS)


POLITE: Final = _start(
    r"please|pls|plz|kindly|hi|hi there|hey|hey there|hello|hello there|ok(?:ay)?|so|well|um|excuse me|sorry"
    r"|good (?:morning|afternoon|evening|day)|quick (?:one|question)|sorry to bother you|quickly|just|right",
    r"por favor|porfa(?:vor)?|hola|oye|buenas(?: tardes| noches)?|buenos días|perdon[ae]?|disculp[ae]|a ver|bueno"
    r"|vale|una cosa|rápidamente|rápido",
    r"пожалуйста|плиз|привет(?:ствую)?|здравствуй(?:те)?|добрый (?:день|вечер)|доброе утро|слушай(?:те)?|извини(?:те)?"
    r"|прости(?:те)?(?: за беспокойство)?|будь(?:те)? добр[аы]?|эй|ну|так|быстр(?:о|енько)|быстрый вопрос|а",
)
MODAL: Final = _start(
    r"(?:can|could|would|will) (?:you|u)(?: mind)?|i(?:'d| would) (?:like|love)(?: you)?(?: to (?:see|have|get))?"
    r"|i (?:want|need|wanna)(?: you)?(?: to (?:see|have|get))?|we need|need|want|to|let'?s(?: see)?|try to|help me(?: to)?",
    r"(?:me )?(?:puedes?|podrías?|podéis)|(?:me )?(?:gustaría|encantaría)(?: ver)?|quiero(?: ver| que)?"
    r"|quisiera(?: ver)?|necesito|intenta",
    r"(?:не )?(?:можешь|можете|сможешь|сможете|могли бы|мог(?:ла)? бы)(?: (?:ты|вы))?|(?:ты|вы) (?:можешь|можете)|можно"
    r"|(?:я )?(?:хочу|хотел[аи]? бы)(?:,? чтобы (?:ты|вы))?(?: увидеть)?|хотелось бы(?: увидеть)?|(?:мне )?нуж(?:ен|н[аоы])"
    r"|попробуй(?:те)?|давай(?:те)?",
)
DRAW: Final = _start(
    r"(?:draw(?:ing)?|paint|sketch|illustrate|generate|create|make|render|imagine|visuali[sz]e|design|depict|produce|show"
    r"|give|do)(?: (?:me|us))?",
    r"(?:dib[uú]j|p[ií]nt|il[uú]str|bosqu[eé]j|gen[eé]r|cr[eé]|dise[ñn]|imag[ií]n|visual[ií]z|mu[eé]str|ens[eé][ñn])"
    r"(?:ar|ear|[ae]s?|en)?(?:me|nos)?|haz(?:me|nos)?|hacer(?:me)?|dame|(?:me )?(?:dibujas|pintas|haces|hagas)",
    r"(?:на|по|об|от)?рису(?:й|йте|ешь|ете|ет)(?: мне)?|нарис(?:овать|овал[аи]?)(?: мне)?|рисовать|изобраз(?:и|ите|ить)"
    r"|(?:с)?генер(?:и|ируй|ируйте|ировать|ить)|созда(?:й|йте|ть)|сдела(?:й|йте|ть|ешь)(?: мне)?|набросай(?:те)?"
    r"|покажи(?:те)?(?: мне)?|дай(?:те)?(?: мне)?|представь(?:те)?|визуализируй(?:те)?|отрендери(?:ть)?|проиллюстрируй(?:те)?",
)
PICTURE: Final = _start(
    r"(?:(?:an?|the|another|one|some|this)\s+)?(?:nice |simple |quick |new )?(?:pictures?|images?|pics?|photos?|drawings?"
    r"|illustrations?|artworks?|sketch)\s+(?:of|with|showing|about)",
    r"(?:(?:una?|otr[oa]|la|el)\s+)?(?:im[aá]gen(?:es)?|fotos?|dibujos?|dibujito|ilustraci[oó]n|boceto|arte)\s+(?:de|con|sobre)",
    r"(?:картин(?:а|у|к[аиу])|картиночк[ау]|изображени[ея]|рисунок|рисунка|фото|фотк[аиу]|фотографи[юия]|иллюстраци[юия]|арт"
    r"|набросок)(?:\s+(?:с|со|где|на которой))?",
)
LABEL: Final = re.compile(
    r"\s*(?:(?:this|the following|это|следующее|esto|lo siguiente)(?:\s+\w+){0,2}"
    r"|prompt|picture|image|text|imagen|texto|картинка|изображение|промпт|текст)\s*:\s*",
    FLAGS,
)
CLOSING: Final = re.compile(
    r"[\s,]*(?:please|pls|plz|thanks?(?: you)?(?: in advance)?|thx|cheers|asap|for me|if (?:you can|possible)"
    r"|por favor|porfa|(?:muchas )?gracias|plis|si puedes|si es posible|cuanto antes"
    r"|пожалуйста|плиз|пж|(?:заранее )?спасибо|если (?:можно|не трудно)|срочно|побыстрее)?[\s.!?…]*$",
    FLAGS,
)
TELL: Final = _start(
    r"(?:can|could|would) you (?:please )?(?:tell|explain)(?: (?:to )?me)?|(?:tell|explain to) me|do you know"
    r"|i(?:'d| would)? (?:want|like) to know",
    r"(?:me )?(?:puedes|podrías) (?:decir(?:me)?|explicar(?:me)?)|dime|sabes|(?:quiero|quisiera|me gustaría) saber",
    r"(?:можешь |можете )?(?:подска(?:жи|жите|зать)|скажи(?:те)?|сказать|объясни(?:те|ть)?)|хочу (?:узнать|понять)"
    r"|(?:ты )?знаешь(?: ли)?",
)
QUESTION_WORD: Final = re.compile(
    r"[¿\s]*(?:what|who|whom|whose|which|when|where|why|how|whether|if|qué|que|quién|quien|cuál|cual|cuándo|cuando"
    r"|dónde|donde|por qué|cómo|como|cuánt\w+|si|что|кто|кого|как\w*|когда|где|почему|зачем|сколько|чем|чей|куда|откуда)\b",
    FLAGS,
)
GIVEN: Final = re.compile(
    r"[\s¿]*(?:(?:according to|based on|from|in|using|given|read|answer(?: the question)?(?: from| using)?)\b[^,.:?¿]*"
    r"\b(?:text|passage|paragraph|article|document|excerpt|context|story|this|above|below|it)\b[^,.:?¿]{0,30}"
    r"|(?:según|con base en|en|de|a partir de|lee|responde|basándote en)\b[^,.:?¿]*"
    r"\b(?:texto|pasaje|párrafo|artículo|documento|contexto|esto|anterior|siguiente)\b[^,.:?¿]{0,30}"
    r"|(?:согласно|по|судя по|в|из|на основе|исходя из|прочитай(?:те)?|прочти|ответь(?:те)?)(?!\w)[^,.:?]*"
    r"(?:текст|отрыв|абзац|стат|документ|контекст|это|выше|ниже)\w*[^,.:?]{0,30})"
    r"(?:[,:]|\band tell me\b|\by dime\b|и скажи(?:те)?(?!\w))[\s,:]*",
    FLAGS,
)
CONTEXT_LABEL: Final = (
    r"text|context|passage|paragraph|article|document|excerpt|texto|contexto|pasaje|párrafo|artículo|documento"
    r"|текст|контекст|отрывок|абзац|статья|документ"
)
QUESTION_LABEL: Final = r"question|q|pregunta|p|вопрос|в"
LABELLED: Final = re.compile(rf"(?<!\w)(?:({CONTEXT_LABEL})|({QUESTION_LABEL}))\s*:\s*", FLAGS)
SENTENCE: Final = re.compile(r"[^.!?…\n]+(?:[.!?…]+(?!\w)[\"»”]?|\n|$)|[.!?…\n]")

FRACTIONS: Final = (
    (r"two thirds|dos tercios|две трети|двух третей", 2 / 3),
    (r"three quarters|tres cuartos|три четверти|трёх четвертей", 0.75),
    (r"(?:a|one) third|un tercio|треть|трети", 1 / 3),
    (r"(?:a|one)? ?quarter|un cuarto|четверть|четверти", 0.25),
    (r"half|la mitad|mitad|половин[аыу]", 0.5),
)
EVEN: Final = re.compile(
    r"half and half|fifty[- ]fifty|equal(?:ly)?|evenly|mitad y mitad|partes iguales|por igual|поровну|в равных|пополам", FLAGS
)
PAIR: Final = re.compile(r"(\d{1,3})\s*%?\s*(?:/|-|–|:|and|to|y|a|и|на|к)\s*(\d{1,3})\s*(?:%|\b)", FLAGS)
AMOUNT: Final = re.compile(r"(\d{1,3}(?:[.,]\d+)?)\s*(%|per ?cent|por ciento|процент\w*)|(?<![\d.,])(0?[.,]\d+)", FLAGS)
ORDINALS: Final = (
    re.compile(r"\b(?:first|left|primer[ao]?|izquierda|перв\w+|лев\w+)\b|\b(?:image|picture|photo|imagen|foto) (?:1|one|una?)\b", FLAGS),
    re.compile(r"\b(?:second|right|other|segund[ao]|derecha|otr[ao]|втор\w+|прав\w+|друг\w+)\b|\b(?:image|picture|photo|imagen|foto) (?:2|two|dos)\b", FLAGS),
    re.compile(r"\b(?:third|tercer[ao]?|трет(?:ья|ьей|ье|ий|ьего|ью))\b|\b(?:image|picture|photo|imagen|foto) (?:3|three|tres)\b", FLAGS),
)
STYLE: Final = re.compile(r"(?:make it|make the result|que sea|hazlo|пусть будет|сделай)\s+(.+)$", FLAGS)


def slots_of(intent: str, text: str, *, has_context: bool = False) -> dict[str, Any]:
    """Return what the intent's service needs; an unclear message has no slots."""
    if intent == "answer":
        return answer_slots(text, has_context=has_context)
    find = SLOTS.get(intent)
    return find(text) if find else {}


def draw_slots(text: str) -> dict[str, Any]:
    """Return the subject: the message without command, politeness and label."""
    rest = _without(POLITE, text)
    asked = _without(POLITE, _without(MODAL, rest))
    commanded = _without(POLITE, _without(DRAW, asked))
    pictured = _without(LABEL, _without(PICTURE, commanded))
    subject = _unquoted(CLOSING.sub("", pictured, count=1))
    return {"subject": subject or text.strip()}


def classify_slots(text: str) -> dict[str, Any]:
    """Return the text to classify: quoted, after the colon, or beside the question."""
    quoted = _longest_quotation(text)
    if quoted:
        return {"text": quoted}
    before, colon, after = text.partition(":")
    if colon and after.strip() and len(before.split()) <= 14:
        return {"text": after.strip()}
    return {"text": _beside_question(text) or text.strip()}


def answer_slots(text: str, *, has_context: bool = False) -> dict[str, Any]:
    """Return the question and, when the message holds one, the passage to answer it from."""
    if has_context:
        return {"question": _asked(text)}
    labelled = _labelled(text)
    if labelled:
        return labelled
    quoted = _longest_quotation(text)
    if len(quoted.split()) >= 4:
        outside = QUOTED.sub(" \n ", text)
        return {"question": _asked(_last_question(outside) or outside.strip()), "context": quoted}
    return _split_question(text)


def ask_slots(text: str) -> dict[str, Any]:
    """Return the question without greeting and "can you tell me"."""
    return {"question": _asked(text)}


def blend_slots(text: str) -> dict[str, Any]:
    """Return the weights of the pictures, in their order and adding up to 1, and the wished look."""
    slots: dict[str, Any] = {}
    weights = _weights(text)
    if weights:
        slots["weights"] = weights
    style = STYLE.search(text)
    if style:
        slots["prompt"] = CLOSING.sub("", style[1], count=1)
    return slots


SLOTS: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "draw": draw_slots,
    "classify": classify_slots,
    "ask": ask_slots,
    "blend": blend_slots,
    "write": lambda text: {"instruction": text.strip()},
    "chat": lambda text: {"text": text.strip()},
}


def _without(pattern: re.Pattern[str], text: str) -> str:
    """Take the pattern off the start, again and again, unless nothing would be left."""
    while (found := pattern.match(text)) and found.end() and text[found.end() :].strip(" .,!?¿¡"):
        text = text[found.end() :]
    return text


def _unquoted(text: str) -> str:
    stripped = text.strip()
    return stripped.strip(QUOTES).strip() if QUOTED.fullmatch(stripped) else stripped


def _longest_quotation(text: str) -> str:
    return max((q[1:-1].strip() for q in QUOTED.findall(text)), key=len, default="")


def _sentences(text: str) -> list[str]:
    return [m[0].strip() for m in SENTENCE.finditer(text) if m[0].strip()]


def _beside_question(text: str) -> str:
    """Return what is left of a message when the question about it is taken away."""
    asked = _last_question(text)
    if not asked:
        return ""
    before, _, after = text.partition(asked)
    return max(before.strip(" -–—<\n\t"), after.strip(), key=len)


def _last_question(text: str) -> str:
    questions = [s for s in _sentences(text) if s.rstrip("\"»”").endswith("?")]
    if not questions:
        return ""
    last = questions[-1]
    return last[last.rfind("¿") :] if "¿" in last else last


def _asked(text: str) -> str:
    """Return a question without greeting, "according to the text" and "can you tell me"."""
    rest = _without(POLITE, text.strip())
    given = _without(POLITE, _without(GIVEN, rest))
    told = TELL.match(given)
    if told and QUESTION_WORD.match(given[told.end() :]):
        given = given[told.end() :]
    return given.strip() or text.strip()


def _labelled(text: str) -> dict[str, Any]:
    """Read "Text: ... Question: ..." in either order, also with only one of the labels."""
    labels = list(LABELLED.finditer(text))
    if not labels:
        return {}
    ends = [*(m.start() for m in labels[1:]), len(text)]
    parts = {
        "context" if m[1] else "question": text[m.end() : end].strip() for m, end in zip(labels, ends, strict=True)
    }
    before = text[: labels[0].start()].strip()
    if set(parts) == {"context", "question"}:
        return {"question": parts["question"], "context": _unquoted(parts["context"])}
    if "context" in parts:
        if before:
            return {"question": _asked(before), "context": _unquoted(parts["context"])}
        return _split_question(parts["context"])
    return {"question": parts["question"], "context": before} if before else _split_question(parts["question"])


def _split_question(text: str) -> dict[str, Any]:
    """Part a passage from the question before or after it."""
    question = _last_question(text)
    if not question:
        before, colon, after = text.partition(":")
        if colon and len(after.split()) >= 4:
            return {"question": _asked(before), "context": after.strip()}
        return {"question": _asked(text)}
    before, _, after = text.rpartition(question)
    context = max(before.strip(), after.strip(), key=len)
    if len(context.split()) < 4:
        return {"question": _asked(text)}
    return {"question": _asked(question), "context": context}


def _weights(text: str) -> list[float]:
    pair = PAIR.search(text)
    if pair and int(pair[1]) + int(pair[2]) == 100:
        return [int(pair[1]) / 100, int(pair[2]) / 100]
    named = _named_amounts(text)
    if named:
        return _complete(named)
    return [0.5, 0.5] if EVEN.search(text) else []


def _named_amounts(text: str) -> dict[int, float]:
    """Return the share of each picture that the message names, by position."""
    shares: dict[int, float] = {}
    for clause in re.split(r",(?!\d)|;|\b(?:and|y|и|con|with|с)\b", text):
        amount = _amount(clause)
        if amount is None:
            continue
        named = [i for i, pattern in enumerate(ORDINALS) if pattern.search(clause)]
        shares[named[0] if named else len(shares)] = amount
    return shares


def _amount(clause: str) -> float | None:
    found = AMOUNT.search(clause)
    if found:
        return float(found[1].replace(",", ".")) / 100 if found[1] else float(found[3].replace(",", "."))
    return next((v for words, v in FRACTIONS if re.search(rf"\b(?:{words})\b", clause, FLAGS)), None)


def _complete(shares: dict[int, float]) -> list[float]:
    """Give the rest to the pictures that were not named and scale to a sum of 1."""
    count = max(2, max(shares) + 1)
    rest = max(0.0, 1 - sum(shares.values()))
    unnamed = count - len(shares)
    weights = [shares.get(i, rest / unnamed if unnamed else 0.0) for i in range(count)]
    total = sum(weights)
    return [round(w / total, 4) for w in weights] if total > 0 else []
