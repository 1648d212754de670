"""The base tokenizer with Cyrillic spelled in Latin letters, as a plain tokenizer.json.

MiniLM's vocabulary is English: raw Russian falls apart into single letters (6.2 tokens per word), transliterated it
takes 3.1. The replacement happens in the tokenizer's normalizer, so offsets still count characters of the original.
"""

from tokenizers import Regex, Tokenizer
from tokenizers.normalizers import BertNormalizer, Replace, Sequence

from training.minilm import base_tokenizer

# After lower case and accent stripping, which turns й into и and ё into е.
LATIN = {
    "щ": "shch", "ж": "zh", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "ю": "yu", "я": "ya", "є": "ye",
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "з": "z", "и": "i", "к": "k", "л": "l",
    "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "у": "u", "ф": "f", "ы": "y",
    "э": "e", "і": "i", "ґ": "g", "ъ": "", "ь": "",
}  # fmt: skip


def transliterating_tokenizer() -> Tokenizer:
    """Return MiniLM's tokenizer that reads Russian as Latin letters; other scripts are untouched."""
    tokenizer = base_tokenizer()
    # A soft sign that ends a word goes with its consonant: dropped alone, answers would lose it.
    soft = [Replace(Regex(rf"{letter}ь\b"), LATIN[letter]) for letter in "нтлсрзмвдбпкгфщшчж"]
    spell = [Replace(letter, latin) for letter, latin in LATIN.items()]
    tokenizer.normalizer = Sequence([BertNormalizer(lowercase=True), *soft, *spell])
    return tokenizer
