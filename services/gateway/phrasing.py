"""The phrases around a request, in English, Spanish and Russian side by side: a message may mix them."""

import re
from typing import Final

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
    r"(?:me )?(?:puedes?|podés|podrías?|podéis)|(?:me )?(?:gustaría|encantaría)(?: ver)?|quiero(?: ver| que)?"
    r"|quisiera(?: ver)?|necesito|intenta",
    r"(?:не )?(?:можешь|можете|сможешь|сможете|могли бы|мог(?:ла)? бы)(?: (?:ты|вы))?|(?:ты|вы) (?:можешь|можете)|можно"
    r"|(?:я )?(?:хочу|хотел[аи]? бы)(?:,? чтобы (?:ты|вы))?(?: увидеть)?|хотелось бы(?: увидеть)?|(?:мне )?нуж(?:ен|н[аоы])"
    r"|попробуй(?:те)?|давай(?:те)?",
)
DRAW: Final = _start(
    r"(?:draw(?:ing(?! of))?|paint(?:ing(?! of))?|sketch(?:ing)?|illustrat(?:e|ing)|generat(?:e|ing)|creat(?:e|ing)"
    r"|mak(?:e|ing)|render(?:ing)?|imagin(?:e|ing)|visuali[sz](?:e|ing)|design(?:ing)?|depict(?:ing)?|produc(?:e|ing)"
    r"|show(?:ing)?|give|do(?:ing)?)(?: (?:me|us))?",
    r"(?:dib[uú]j|p[ií]nt|il[uú]str|bosqu[eé]j|gen[eé]r|cr[eé]|dise[ñn]|imag[ií]n|visual[ií]z|mu[eé]str|ens[eé][ñn])"
    r"(?:ar|ear|[ae]s?|en)?(?:me|nos)?|haz(?:me|nos)?|hacer(?:me)?|dame|(?:me )?(?:dibujas|pintas|haces|hagas)",
    r"(?:на|по|об|от)?рису(?:й|йте|ешь|ете|ет)(?: мне)?|нарис(?:овать|овал[аи]?)(?: мне)?|рисовать|изобраз(?:и|ите|ить)"
    r"|(?:с)?генер(?:и|ируй|ируйте|ировать|ить)|созда(?:й|йте|ть)|сдела(?:й|йте|ть|ешь)(?: мне)?|набросай(?:те)?"
    r"|покажи(?:те)?(?: мне)?|дай(?:те)?(?: мне)?|представь(?:те)?|визуализируй(?:те)?|отрендери(?:ть)?|проиллюстрируй(?:те)?",
)
PICTURE: Final = _start(
    r"(?:(?:an?|the|another|one|some|this)\s+)?(?:nice |simple |quick |new )?(?:pictures?|images?|pics?|photos?|drawings?|paintings?"
    r"|illustrations?|artworks?|sketch)\s+(?:of|with|showing|about)",
    r"(?:(?:una?|otr[oa]|la|el)\s+)?(?:im[aá]gen(?:es)?|fotos?|dibujos?|dibujito|ilustraci[oó]n|boceto|arte)\s+(?:de|con|sobre)",
    r"(?:картин(?:а|у|к[аиу])|картиночк[ау]|изображени[ея]|рисунок|рисунка|фото|фотк[аиу]|фотографи[юия]|иллюстраци[юия]|арт"
    r"|набросок)(?:\s+(?:с|со|где|на которой))?",
)
CALL: Final = re.compile(  # a command after an address or a preamble: "dear bot, draw a cat"
    r"^(?:[^\"«“]*?[.,!?;:]\s+(?:(?:please|por favor|пожалуйста),?\s+)?"
    r"|[^\"«“]*?\byou (?:could |can |to |should |please )?)"
    r"((?:draw|нарису\w+|изобраз\w+|dib[uú]j\w+|píntame)(?!\w))",
    FLAGS,
)
LOOKS: Final = _start(  # "show me what a library on Mars would look like"
    r"(?:what|how)(?= .+ would look)",
    r"cómo (?:se )?(?:vería|verían|sería|serían|quedaría|quedarían)",
    r"как (?:бы )?(?:выглядел|смотрел)\w*(?: бы)?",
)
LOOKED: Final = re.compile(r"\s+would look(?: like)?$", FLAGS)
LABEL: Final = re.compile(
    r"\s*(?:(?:this|the following|это|следующее|esto|lo siguiente)(?:\s+\w+){0,2}"
    r"|prompt|picture|image|text|imagen|texto|картинка|изображение|промпт|текст)\s*:\s*",
    FLAGS,
)
ENDING: Final = " \t\r\n.,!?…"
CLOSING: Final = re.compile(
    r"(?:^|[\s,]{1,3})(?:pretty please|please|pls|plz|thanks?(?: you)?(?: in advance)?|thx|cheers|asap|for me|if (?:you can|possible)"
    r"|por favor|porfa|(?:muchas )?gracias|plis|si puedes|si es posible|cuanto antes"
    r"|пожалуйста|плиз|пж|(?:заранее )?спасибо|если (?:можно|не трудно)|срочно|побыстрее)$",
    FLAGS,
)
LONGEST_CLOSING: Final = 40
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
DASH: Final = re.compile(r"\s[-–—<]{1,3}\s")


def without(pattern: re.Pattern[str], text: str) -> str:
    """Take the pattern off the start, again and again, unless nothing would be left."""
    while (found := pattern.match(text)) and found.end() and text[found.end() :].strip(" .,!?¿¡"):
        text = text[found.end() :]
    return text


def without_closing(text: str) -> str:
    """Take "please", "thanks" and the last marks off the end, unless nothing would be left."""
    bare = text.rstrip(ENDING)
    found = CLOSING.search(bare, max(0, len(bare) - LONGEST_CLOSING))
    return bare[: found.start()].rstrip(ENDING) or bare if found else bare


def unquoted(text: str) -> str:
    stripped = text.strip()
    return stripped.strip(QUOTES).strip() if QUOTED.fullmatch(stripped) else stripped
