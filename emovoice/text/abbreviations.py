"""Spells out abbreviations, initials, dotted acronyms and roman numerals, and decides which of their dots end a sentence.

Afterwards a full stop followed by a space is the end of a sentence. Pure functions on text.
"""

from __future__ import annotations

import re

from emovoice.text import numbers

_TITLES = {
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Dr": "Doctor", "Prof": "Professor", "Mt": "Mount", "Ft": "Fort",
    "Gen": "General", "Gov": "Governor", "Sen": "Senator", "Rep": "Representative", "Capt": "Captain",
    "Lt": "Lieutenant", "Col": "Colonel", "Sgt": "Sergeant", "Cmdr": "Commander", "Cpl": "Corporal", "Maj": "Major",
    "Adm": "Admiral", "Rev": "Reverend", "Hon": "Honorable", "Pres": "President", "Supt": "Superintendent",
    "Fr": "Father", "Msgr": "Monsignor", "Messrs": "Messieurs", "St": "Saint",
}  # fmt: skip
_BARE_TITLES = "Mr|Mrs|Ms|Dr|Prof|St"

_NEVER_LAST = {
    "e.g.": "for example", "i.e.": "that is", "cf.": "compare", "vs.": "versus", "v.": "versus", "approx.":
    "approximately", "ca.": "circa", "viz.": "namely", "vol.": "volume", "fig.": "figure", "figs.": "figures",
    "ch.": "chapter", "chap.": "chapter", "pp.": "pages", "p.": "page", "no.": "number", "nos.": "numbers",
    "ed.": "edition", "eds.": "editors", "sec.": "section", "incl.": "including", "esp.": "especially",
    "resp.": "respectively", "tel.": "telephone", "ext.": "extension", "attn.": "attention", "w.r.t.":
    "with respect to", "a.k.a.": "also known as",
}  # fmt: skip
_NEEDS_NUMBER = frozenset({"ch.", "chap.", "pp.", "p.", "no.", "nos.", "vol.", "fig.", "figs.", "sec.", "ext."})
_MAY_TAKE_ROMAN = frozenset({"ch.", "chap.", "vol.", "sec."})
_MAY_BE_LAST = {
    "etc.": "et cetera", "et al.": "et al", "jr.": "Junior", "sr.": "Senior", "inc.": "Incorporated", "ltd.": "Limited",
    "corp.": "Corporation", "co.": "Company", "bros.": "Brothers", "ave.": "Avenue", "blvd.": "Boulevard",
    "rd.": "Road", "ln.": "Lane", "hwy.": "Highway", "pkwy.": "Parkway", "apt.": "Apartment", "bldg.": "Building",
    "dept.": "Department", "univ.": "University", "assn.": "Association", "govt.": "Government", "est.":
    "established", "min.": "minimum", "max.": "maximum", "misc.": "miscellaneous", "a.m.": "A.M", "p.m.": "P.M",
    "ph.d.": "P.H.D", "m.d.": "M.D", "b.c.": "B.C", "a.d.": "A.D", "esq.": "Esquire", "sq.": "Square",
    "mon.": "Monday", "tue.": "Tuesday", "tues.": "Tuesday", "wed.": "Wednesday", "thu.": "Thursday", "thur.":
    "Thursday", "thurs.": "Thursday", "fri.": "Friday", "jan.": "January", "feb.": "February", "aug.": "August",
    "sept.": "September", "oct.": "October", "nov.": "November", "dec.": "December", "dr.": "Drive", "st.": "Street",
}  # fmt: skip
_CAPITAL_ONLY = frozenset(
    "jr. sr. inc. co. corp. ave. rd. ln. mon. wed. fri. oct. dec. nov. dr. st. sq. est. univ. bros.".split()
)
"""Read as abbreviations only with a capital letter: 'co.' or 'dec.' may be words, or ends of them."""

_STARTERS = frozenset(
    """a about after all also although am an and another any are as at because before both but by can could did do does
    during each even every few finally first for from had has have he her here his how however i if in is it its last
    later let like many maybe meanwhile more most my neither never next no nobody none nor not nothing now of on once
    one only or other our perhaps please shall she should since so some someone somehow still such suddenly than that
    the their them then there therefore these they this those though through thus to today tomorrow too two under until
    was we well were what when where whether which while who whose why will with without would yes yesterday yet you
    your""".split()
)
"""Words that, with a capital, tell that a sentence has begun rather than that a name goes on."""
_NOT_NAMES = frozenset(
    """plan vitamin group part type grade class team room section appendix hepatitis figure table gate exit block
    building category option point product column row version side level stage phase schedule form exhibit
    plans a an the""".split()
)

_ORDINAL_NAMES = (
    "Pope", "King", "Queen", "Henry", "Louis", "Edward", "George", "William", "Charles", "James", "Richard",
    "Elizabeth", "Napoleon", "Pius", "Benedict", "Leo", "John Paul", "John", "Paul", "Ramses", "Ramesses", "Frederick",
    "Philip", "Alexander", "Nicholas", "Peter", "Catherine", "Ivan", "Umberto", "Emmanuel", "Gustav", "Christian",
    "Ferdinand", "Francis", "Gregory", "Innocent", "Clement", "Mary", "Margaret", "Robert", "Stephen", "Haakon",
    "Juan Carlos", "Felipe", "Alfonso", "Otto", "Darius", "Xerxes", "Ptolemy", "Cleopatra", "Malcolm", "Urban",
    "Wilhelm", "Karl", "Friedrich", "Christina", "Victor",
)  # fmt: skip
_CARDINAL_NAMES = (
    "Chapter", "Part", "Act", "Scene", "Section", "Volume", "Book", "Phase", "Article", "War", "Mark", "Type", "Level",
    "Stage", "Class", "Grade", "Super Bowl", "Apollo", "Gemini", "Fantasy", "Episode", "Round", "Rocky", "Appendix",
    "Title", "Canto", "Psalm", "Sonnet", "Lesson", "Unit", "Figure", "Table", "Version", "Corps", "Titan", "Saturn",
)  # fmt: skip
_NUMERAL = r"([IVXLCDM]+)\b(?!['.]\w*[a-rt-z])"
_REGNAL = re.compile(rf"\b({'|'.join(_ORDINAL_NAMES)}) (?=[IVX]){_NUMERAL}")
_CHAPTER = re.compile(rf"\b({'|'.join(_CARDINAL_NAMES)}) {_NUMERAL}")
_SMALL_CHAPTER = re.compile(rf"\b(chapter|part|act|scene|section|volume|book|phase|appendix) (?=[IVX]{{2}}){_NUMERAL}")

_DOTTED = "|".join(
    re.escape(short) for short in sorted({*_NEVER_LAST, *_MAY_BE_LAST}, key=len, reverse=True)
)
_ABBREVIATION = re.compile(rf"(?<![\w.'-])({_DOTTED})(?!\w)", re.IGNORECASE)
_TITLE = re.compile(rf"(?<![\w.'-])(?:({'|'.join(_TITLES)})\.|({_BARE_TITLES})) (?=(?:and )?[A-Z]|\ue001)")
_STREET = re.compile(r"(?<=[a-z] )(St|Dr)\.(?= [a-z(]|,|;|\)|\s*\Z|\s*\n|[!?])")
_ACRONYM = re.compile(r"(?<![\w.])((?:[A-Za-z]\.){2,})(?!\w)|(?<![\w.])((?:[A-Za-z]\.)+[A-Za-z])(?![\w.])")
_INITIAL = re.compile(r"(?<![\w.'-])([A-HJ-Z])\.(?= [A-Z]|-[A-Z]\.)")
_LAST_WORD = re.compile(r"(\w+)[ ]\Z")
_NEXT_WORD = re.compile(r"""["'(]*\s+["'(]*([A-Za-z']+)""")
_NUMBER_SIGN = re.compile(r"(?<![\w&])(?:#|№ ?|(No|Nos)\. ?)(?=\d)")
_SLASHES = {"w/o": "without", "b/c": "because", "c/o": "care of", "n/a": "N.A", "a/c": "A.C"}
_SLASHED = re.compile(r"(?<![\w/])(w/o|b/c|c/o|n/a|a/c|w/(?= ))(?![\w/])", re.IGNORECASE)


def read_abbreviations(text: str) -> str:
    """'Dr. Who lives on Elm St. He ...' -> 'Doctor Who lives on Elm Street. He ...'."""
    text = _SLASHED.sub(lambda found: _SLASHES.get(found[1].lower(), "with"), text)
    text = _NUMBER_SIGN.sub(lambda found: "numbers " if found[1] == "Nos" else "number ", text)
    text = _STREET.sub(lambda found: ("Street" if found[1] == "St" else "Drive") + _stop(found), text)
    text = _TITLE.sub(_title, text)
    text = _ABBREVIATION.sub(_expansion, text)
    text = _ACRONYM.sub(_acronym, text)
    return _INITIAL.sub(_initial, text)


def read_romans(text: str) -> str:
    """'Chapter IV' -> 'Chapter four', 'Henry VIII' -> 'Henry the eighth'; after other words nothing is a numeral."""

    def chapter(found: re.Match[str]) -> str:
        value = numbers.roman(found[2])
        return found[0] if value is None else f"{found[1]} {numbers.cardinal(value)}"

    def regnal(found: re.Match[str]) -> str:
        value = numbers.roman(found[2])
        follows_verb = re.match(r" (?:am|was|have|had|think|know|will|would|can|do|did|saw|said)\b", _rest(found))
        if value is None or (found[2] == "I" and follows_verb):
            return found[0]
        return f"{found[1]} the {numbers.ordinal(value)}"

    return _REGNAL.sub(regnal, _SMALL_CHAPTER.sub(chapter, _CHAPTER.sub(chapter, text)))


def _title(found: re.Match[str]) -> str:
    short = found[1] or found[2]
    # "Elm St. He left": a street when a name comes before and a sentence begins after.
    name_before = re.search(r"\b[A-Z][a-z]+ \Z", _before(found))
    if short in ("St", "Dr") and name_before:
        if found[1] and _starts_sentence(found.string[found.end() - 1 : found.end() + 40]):
            return ("Street" if short == "St" else "Drive") + ". "
        if not found[1] and short == "St":
            return "Street "
    return _TITLES[short] + " "


def _expansion(found: re.Match[str]) -> str:
    written = found[1]
    short, capital = written.lower(), written[0].isupper()
    rest = _rest(found)
    if short in _NEVER_LAST:
        if short in _NEEDS_NUMBER and not re.match(r" ?\d", rest):
            if short not in _MAY_TAKE_ROMAN or not re.match(r" ?[IVXLC]+\b", rest):
                return written
        if short in ("v.", "ed.", "ca.", "esp.", "resp.") and not re.match(r" [\w(]", rest):
            return written
        return _with_case(_NEVER_LAST[short], capital)
    if short in _CAPITAL_ONLY and not capital:
        return written
    if short in ("min.", "max.", "sq.", "wed.", "dr.", "st.", "oct.", "mon.", "dec.") and not re.match(r"[ ,;)]", rest):
        return written
    words = _MAY_BE_LAST[short]
    return words + _stop(found)


def _acronym(found: re.Match[str]) -> str:
    """'U.S.' -> 'U.S', with its dot again where it ends a sentence; the G2P spells such words."""
    letters = (found[1] or found[2]).rstrip(".")
    if found[2] or "." not in letters:
        return found[0]
    return letters.upper() + _stop(found)


def _initial(found: re.Match[str]) -> str:
    """'J. Smith' -> 'J Smith', but the full stop stays in 'Plan B. Then' and 'a B. Tom'."""
    following = _NEXT_WORD.match(_rest(found))
    if following and len(following[1]) > 1 and following[1].lower() in _STARTERS:
        return found[0]
    before = _before(found)
    word = _LAST_WORD.search(before)
    if word:
        listed = re.search(r"\b[A-Z],? (?:and|or) \Z", before)
        return found[0] if listed or word[1].lower() in _NOT_NAMES else found[1]
    return found[1] if re.search(r"""(?:^|[.!?…,;:"'(\n])\s*\Z""", before) else found[0]


def _stop(found: re.Match[str]) -> str:
    """A full stop where the sentence ends with the abbreviation that was found, else nothing."""
    return "." if _starts_sentence(_rest(found)) else ""


def _starts_sentence(rest: str) -> bool:
    """Whether what follows an abbreviation is the end of the paragraph or begins a sentence."""
    if re.match(r"""["')\]\ue000 ]*(?:\Z|\n)""", rest):
        return True
    following = _NEXT_WORD.match(rest.replace("\ue000", " "))
    if not following or not following[1][0].isupper():
        return False
    return following[1].split("'")[0].lower() in _STARTERS or bool(re.match(r"""["'(]*\s+["'(]*\b(?:M(?:r|rs|s)|Dr)\b""",
                                                                            rest))  # fmt: skip


def _with_case(words: str, capital: bool) -> str:
    return words[0].upper() + words[1:] if capital else words


def _rest(found: re.Match[str]) -> str:
    return found.string[found.end() : found.end() + 40]


def _before(found: re.Match[str]) -> str:
    return found.string[max(0, found.start() - 40) : found.start()]
