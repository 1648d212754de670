"""Numbers written as words, in English, Spanish and Russian."""

from typing import Final

WORDS: Final[dict[str, int]] = {
    word: value
    for value, words in {
        1: "one un una uno один одна одну одной одного",
        2: "two dos два две двух",
        3: "three tres три трёх трех",
        4: "four cuatro четыре четырёх четырех",
        5: "five cinco пять пяти",
        6: "six seis шесть шести",
        7: "seven siete семь семи",
        8: "eight ocho восемь восьми",
        9: "nine nueve девять девяти",
        10: "ten diez десять десяти",
        15: "fifteen quince пятнадцать пятнадцати",
        20: "twenty veinte двадцать двадцати",
        25: "twenty-five veinticinco",
        30: "thirty treinta тридцать тридцати",
        40: "forty cuarenta сорок сорока",
        50: "fifty cincuenta пятьдесят пятидесяти",
        60: "sixty sesenta шестьдесят шестидесяти",
        70: "seventy setenta семьдесят семидесяти",
        75: "seventy-five",
        80: "eighty ochenta восемьдесят восьмидесяти",
        90: "ninety noventa девяносто девяноста",
        100: "hundred cien сто ста",
    }.items()
    for word in words.split()
}
NUMBER: Final = (
    r"(?<![\w.,])(?:\d{1,3}(?:[.,]\d+)?|[.,]\d+|"
    + "|".join(sorted(WORDS, key=len, reverse=True))
    + r")(?![\w])"
)
"""A pattern without groups; `value_of` reads what it matches, whatever its case."""


def value_of(number: str) -> float:
    """Return the number that NUMBER matched."""
    word = WORDS.get(number.lower())
    return float(word if word is not None else number.replace(",", "."))


DENOMINATORS: Final[dict[str, int]] = {
    word: value
    for value, words in {
        2: "half halves mitad половина половину половины половине",
        3: "third thirds tercio tercios треть трети третью третьих",
        4: "quarter quarters fourth fourths cuarto cuartos четверть четверти четвертью четвёртых четвертых",
        5: "fifth fifths quinto quintos пятая пятую пятых пятой",
        6: "sixth sixths sexto sextos шестая шестую шестых",
        8: "eighth eighths octavo octavos восьмая восьмую восьмых",
        10: "tenth tenths décimo décimos десятая десятую десятых",
    }.items()
    for word in words.split()
}
# Without a number before them these are shares; the others are ordinals ("the third picture").
ALONE: Final = r"half|mitad|половин[аыуе]|трет(?:ь|и|ью)|четверт(?:ь|и|ью)"
FRACTION: Final = (
    rf"(?<![\w/])(?:(?P<over>\d{{1,2}})/(?P<under>\d{{1,2}})|(?:(?P<count>{'|'.join(WORDS)}|an?)[ -])?"
    rf"(?P<part>{'|'.join(sorted(DENOMINATORS, key=len, reverse=True))}))(?![\w/])"
)
