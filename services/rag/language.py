"""Which of the three languages a text is in, and the stems by which its words are found."""

import re
from collections.abc import Iterable

import Stemmer

SNOWBALL = {"en": "english", "es": "spanish", "ru": "russian"}
WORD = re.compile(r"\w+")
CYRILLIC = re.compile(r"[а-яё]", re.IGNORECASE)
SPANISH_LETTERS = re.compile(r"[ñ¿¡áíóúü]", re.IGNORECASE)
MAX_WORD_CHARS = 60  # longer ones are data, not words; tsvector refuses 2 KB
SAMPLE_CHARS = 4000  # enough to tell the language of a long document


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP_WORDS = {
    "en": _set("""a about after all also an and any are as at be been before between both but by can could
        did do does during each for from had has have he her his how i if in into is it its just me
        more most my no not of on only or other our out over own s same she should so some such t
        than that the their them then there these they this those through to too under until up very
        was we were what when where which while who whom why will with would you your"""),
    "es": _set("""a al algo ante antes aquí así aún bajo cada como con contra cuál cual cuáles cuales cuando
        cuándo cuánto cuántos cuántas de del desde donde dónde durante e el él ella ellas ellos en
        entre era eran es esa esas ese eso esos esta está están estas este esto estos fue fueron ha
        han hasta hay la las le les lo los más me mi muy ni no nos o os para pero por porque qué que
        quién quien quiénes se según ser si sí sin sobre son su sus también te tiene tienen toda
        todas todo todos tu un una unas uno unos y ya yo"""),
    "ru": _set("""а без более был была были было быть в вам вас весь во вот все всего всех вы где да для до
        его ее если есть еще же за здесь и из или им их к как какая какие каких какого какой какое
        каком какую ко когда кого кому которая которого которой которые который которых кто куда ли
        либо между меня мне много может мой мы на над надо нам нас не него нее нет ни них но ну о об
        однако он она они оно от очень по под после потому почему при про с сам свою себя сколько со
        так также такой там те тем то того тоже только том тот тут ты у уже чего чем через что чтобы
        чье чья эта эти это этого этой этом этот эту я"""),
}
# Words that point back at something said before.
POINTING = {
    "en": _set("it its they them their he him his she her that this those these there"),
    "es": _set("eso esa ese esos esas él ella ellos ellas lo su sus allí ahí"),
    "ru": _set("он она оно они его ее их ему ей им это этот эта эти этого там тогда"),
}


def words(text: str) -> list[str]:
    """Return the words in lower case; Russian ё counts as е, as most people type it."""
    return [word[:MAX_WORD_CHARS] for word in WORD.findall(text.lower().replace("ё", "е"))]


def detect(text: str) -> str:
    """Return `en`, `es` or `ru` by script, letters and stop words; English when nothing tells."""
    sample = text[:SAMPLE_CHARS]
    if len(CYRILLIC.findall(sample)) > 0.3 * sum(map(str.isalpha, sample)):
        return "ru"
    return "es" if _spanish_lead(sample) > 0 else "en"


def candidates(query: str) -> list[str]:
    """Return the languages a short text may be in: both Latin ones when nothing tells them apart."""
    language = detect(query)
    unsure = language == "en" and _spanish_lead(query) == 0
    return ["en", "es"] if unsure else [language]


def stems(text: str, languages: Iterable[str]) -> list[str]:
    """Return the stems of the words that carry meaning, in order.

    Words in Cyrillic are always stemmed as Russian ones, so that a text may mix scripts.
    """
    known = words(text)
    found: list[str] = []
    for language in dict.fromkeys(languages):
        stemmer = Stemmer.Stemmer(SNOWBALL[language])
        stop = STOP_WORDS[language]
        own = [word for word in known if word not in stop and _fits(word, language)]
        found += stemmer.stemWords(own)
    if "ru" not in languages and (rest := [word for word in known if CYRILLIC.search(word)]):
        found += stems(" ".join(rest), ["ru"])
    return found


def points_back(text: str) -> bool:
    """Tell whether a question holds a word such as 'it' that stands for something said before."""
    known = set(words(text))
    return any(known & POINTING[language] for language in candidates(text))


def _fits(word: str, language: str) -> bool:
    return language == "ru" or not CYRILLIC.search(word)


def _spanish_lead(text: str) -> int:
    """Return how much more speaks for Spanish than for English."""
    known = words(text)
    spanish = sum(word in STOP_WORDS["es"] for word in known)
    english = sum(word in STOP_WORDS["en"] for word in known)
    return spanish - english + 2 * len(SPANISH_LETTERS.findall(text))
