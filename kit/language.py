"""Which of three languages a text is in: English, Spanish or Russian."""

import re

WORD = re.compile(r"\w+")
CYRILLIC = re.compile(r"[а-яё]", re.IGNORECASE)
SPANISH_LETTERS = re.compile(r"[ñ¿¡áíóúü]", re.IGNORECASE)
MAX_WORD_CHARS = 60  # longer ones are data, not words; tsvector refuses 2 KB
SAMPLE_CHARS = 4000  # enough to tell the language of a long document


def word_set(text: str) -> frozenset[str]:
    """Return the words of a list written with spaces."""
    return frozenset(text.split())


STOP_WORDS = {
    "en": word_set("""a about after all also an and any are as at be been before between both but by can could
        did do does during each for from had has have he her his how i if in into is it its just me
        more most my no not of on only or other our out over own s same she should so some such t
        than that the their them then there these they this those through to too under until up very
        was we were what when where which while who whom why will with would you your"""),
    "es": word_set("""a al algo ante antes aquí así aún bajo cada como con contra cuál cual cuáles cuales cuando
        cuándo cuánto cuántos cuántas de del desde donde dónde durante e el él ella ellas ellos en
        entre era eran es esa esas ese eso esos esta está están estas este esto estos fue fueron ha
        han hasta hay la las le les lo los más me mi muy ni no nos o os para pero por porque qué que
        quién quien quiénes se según ser si sí sin sobre son su sus también te tiene tienen toda
        todas todo todos tu un una unas uno unos y ya yo"""),
    "ru": word_set("""а без более был была были было быть в вам вас весь во вот все всего всех вы где да для до
        его ее если есть еще же за здесь и из или им их к как какая какие каких какого какой какое
        каком какую ко когда кого кому которая которого которой которые который которых кто куда ли
        либо между меня мне много может мой мы на над надо нам нас не него нее нет ни них но ну о об
        однако он она они оно от очень по под после потому почему при про с сам свою себя сколько со
        так также такой там те тем то того тоже только том тот тут ты у уже чего чем через что чтобы
        чье чья эта эти это этого этой этом этот эту я"""),
}


def words(text: str) -> list[str]:
    """Return the words in lower case; Russian ё counts as е, as most people type it."""
    return [word[:MAX_WORD_CHARS] for word in WORD.findall(text.lower().replace("ё", "е"))]


def detect(text: str) -> str:
    """Return `en`, `es` or `ru` by script, letters and stop words; English when nothing tells."""
    sample = text[:SAMPLE_CHARS]
    if len(CYRILLIC.findall(sample)) > 0.3 * sum(map(str.isalpha, sample)):
        return "ru"
    return "es" if spanish_lead(sample) > 0 else "en"


def spanish_lead(text: str) -> int:
    """Return how much more speaks for Spanish than for English."""
    known = words(text)
    spanish = sum(word in STOP_WORDS["es"] for word in known)
    english = sum(word in STOP_WORDS["en"] for word in known)
    return spanish - english + 2 * len(SPANISH_LETTERS.findall(text))
