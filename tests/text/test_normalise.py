import pytest

from emovoice.text.normalise import normalise

CASES = [
    # cardinals, ordinals, decimals, negatives
    ("I have 3 apples and 21 pears.", "I have three apples and twenty-one pears."),
    ("There are 1,234,567 people.",
     "There are one million two hundred thirty-four thousand five hundred sixty-seven people."),
    ("10 000 km, 1 000 000 people.", "ten thousand kilometers, one million people."),
    ("The 1st, 2nd, 3rd and 21st floor.", "The first, second, third and twenty-first floor."),
    ("The 1,000th visitor.", "The one thousandth visitor."),
    ("Pi is 3.14, not .5 or 0.05.", "Pi is three point one four, not point five or zero point zero five."),
    ("It was -5, then -10.", "It was minus five, then minus ten."),
    ("7 − 3 = 4", "seven minus three equals four."),
    ("Agent 007 left.", "Agent zero zero seven left."),
    ("Room 101 on Route 66.", "Room one hundred one on Route sixty-six."),
    ("A 10-year-old boy.", "A ten-year-old boy."),
    ("Release 1.2.3 of v2.", "Release one point two point three of V two."),
    # fractions, percents, ranges, ratios
    ("1/2 cup and 3/4 of it.", "one half cup and three quarters of it."),
    ("2 1/2 cups or 2½ cups.", "two and a half cups or two and a half cups."),
    ("Open 24/7.", "Open twenty-four seven."),
    ("5%, 5.5 % and 10-20%.", "five percent, five point five percent and ten to twenty percent."),
    ("Read pp. 5-10.", "Read pages five to ten."),
    ("They won 3-2.", "They won three to two."),
    ("A ratio of 16:9.", "A ratio of sixteen to nine."),
    # years and dates
    ("It was 1984.", "It was nineteen eighty-four."),
    ("In 1900, 1905, 2005 and 2021.",
     "In nineteen hundred, nineteen oh five, two thousand five and twenty twenty-one."),
    ("The 1990s and the '80s.", "The nineteen nineties and the eighties."),
    ("From 1984-1990 and 1999–2001.",
     "From nineteen eighty-four to nineteen ninety and nineteen ninety-nine to two thousand one."),
    ("On March 5, 2021 we met.", "On March fifth, twenty twenty-one we met."),
    ("On Mar. 5th.", "On March fifth."),
    ("On 5 March 2021.", "On the fifth of March twenty twenty-one."),
    ("On 2021-03-05.", "On March fifth, twenty twenty-one."),
    ("On 3/5/2021.", "On March fifth, twenty twenty-one."),
    ("On 05.03.2021.", "On March fifth, twenty twenty-one."),
    ("The 4th of July. May 2020.", "The fourth of July. May twenty twenty."),
    ("It is 5 Dec. Then it snowed.", "It is the fifth of December. Then it snowed."),
    # times
    ("At 3:30 p.m. He left.", "At three thirty P.M. He left."),
    ("At 3 pm or 10am.", "At three P.M or ten A.M."),
    ("At 15:05 and 12:00.", "At fifteen oh five and twelve o'clock."),
    ("At 5 p.m. on Monday.", "At five P.M on Monday."),
    # money
    ("It costs $5.", "It costs five dollars."),
    ("$5.50, $0.99 and $1.01.",
     "five dollars and fifty cents, ninety-nine cents and one dollar and one cent."),
    ("£3.5bn, €20 million and 5€.",
     "three point five billion pounds, twenty million euros and five euros."),
    ("$1,234.56", "one thousand two hundred thirty-four dollars and fifty-six cents."),
    ("USD 5, 50¢ and $5-10.", "five dollars, fifty cents and five to ten dollars."),
    ("$5/day", "five dollars per day."),
    # units
    ("5 km, 1 kg and 20°C.", "five kilometers, one kilogram and twenty degrees Celsius."),
    ("A 5-km run at 60 mph.", "A five kilometer run at sixty miles per hour."),
    ("6 ft 2 in or 6'2\" tall.", "six feet two inches or six feet two inches tall."),
    ("100 km/h, 3 m², 5-10 kg.",
     "one hundred kilometers per hour, three square meters, five to ten kilograms."),
    ("It is 6 in. tall. Use 5 ft. of rope.", "It is six inches tall. Use five feet of rope."),
    # abbreviations
    ("Dr. Smith met Mr. and Mrs. Jones.", "Doctor Smith met Mister and Missus Jones."),
    ("He lives on Elm St. He is nice.", "He lives on Elm Street. He is nice."),
    ("St. Paul is on Main St. in town.", "Saint Paul is on Main Street in town."),
    ("Cats, e.g. lions, i.e. big ones, etc.", "Cats, for example lions, that is big ones, et cetera."),
    ("Apple Inc. grew. Foo Co. He likes it.", "Apple Incorporated grew. Foo Company. He likes it."),
    ("I live in the U.S. The U.S. Army won.", "I live in the U.S. The U.S Army won."),
    ("J. R. R. Tolkien and George W. Bush.", "J R R Tolkien and George W Bush."),
    ("Plan B. Then we go. It was I. He left.", "Plan B. Then we go. It was I. He left."),
    ("No. 5 won. No. I won't.", "number five won. No. I won't."),
    ("Sammy Davis Jr. sang. Prof. Lee came.", "Sammy Davis Junior sang. Professor Lee came."),
    # telephone numbers
    ("Call 555-1234.", "Call five five five, one two three four."),
    ("Or (555) 123-4567.", "Or five five five, one two three, four five six seven."),
    ("+44 20 7946 0958", "plus four four, two zero, seven nine four six, zero nine five eight."),
    ("Call 911!", "Call nine one one!"),
    # roman numerals
    ("Chapter IV of Henry VIII's life.", "Chapter four of Henry the eighth's life."),
    ("Louis XIV and World War II.", "Louis the fourteenth and World War two."),
    ("Vitamin C did MIX. I, too.", "Vitamin C did MIX. I, too."),
    # signs
    ("AT&T, 5 + 3 = 8", "AT and T, five plus three equals eight."),
    ("me @ home, #1, #hope", "me at home, number one, hashtag hope."),
    ("5 < 6 and *really* good", "five is less than six and really good."),
    ("and/or, he/she, w/o", "and or, he or she, without."),
    ("MP3, H2O, COVID-19, 10x", "MP three, H two O, COVID-nineteen, ten times."),
    # addresses
    ("See https://www.example.com/path.", "See W.W.W dot example dot com slash path."),
    ("Mail me@mail.co.uk now.", "Mail me at mail dot co dot U.K now."),
    # quotes, dashes, dots
    ("“Curly” and ‘single’—dashes", '"Curly" and "single" — dashes.'),
    ("'Tis the dogs' rock 'n' roll.", "'Tis the dogs' rock and roll."),
    ("Well... I don't know....", "Well… I don't know…"),
    ("Stop!!! What?!?!", "Stop! What?!"),
    ("I was go- No - wait -- here", "I was go — No — wait — here."),
    ("(round) [square] {curly}", "(round) (square) (curly)."),
    ("Hello,world.This is it", "Hello, world. This is it."),
    # case, lines
    ("I AM VERY ANGRY. NASA!", "I am very angry. NASA!"),
    ("- one\n- two\n\nNext", "one. two.\n\nNext."),
    ("two\nlines", "two lines."),
    ("café, naïve", "café, naïve."),
    ("He said:", "He said:"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "spoken"), CASES)
def test_table(written: str, spoken: str) -> None:
    assert normalise(written) == (spoken, ())


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("3/4/2021", "the third of April, twenty twenty-one."),
        ("123 people", "one hundred and twenty-three people."),
        ("March 5, 2005", "March fifth, two thousand and five."),
        ("50p", "fifty pence."),
    ],
)
def test_british_reading(written: str, spoken: str) -> None:
    assert normalise(written, british=True).text == spoken


@pytest.mark.parametrize("written", [written for written, _ in CASES])
def test_normalising_twice_changes_nothing(written: str) -> None:
    for british in (False, True):
        once = normalise(written, british=british).text
        assert normalise(once, british=british) == (once, ())


@pytest.mark.parametrize(
    ("written", "spoken", "named"),
    [
        ("Hi 😀 there", "Hi there.", "😀"),
        ("Hi\x07 there", "Hi there.", "U+0007"),
        ("Привет, world", "Privet, world.", "Cyrillic"),
        ("你好, world", "NiHao, world.", "CJK"),
        ("a " + "xyz" * 20, "a " + ("xyz" * 20)[:45] + " " + ("xyz" * 20)[45:] + ".", "45 letters"),
    ],
)
def test_what_cannot_be_read_is_named(written: str, spoken: str, named: str) -> None:
    text, warnings = normalise(written)
    assert text == spoken
    assert len(warnings) == 1
    assert named in warnings[0]


def test_invisible_characters_are_dropped_silently() -> None:
    assert normalise("so\u00adft zero\u200bwidth\ufeff") == ("soft zerowidth.", ())


def test_other_digits_and_letter_shapes_are_folded() -> None:
    assert normalise("ｆｕｌｌ ４２ and ٣").text == "full forty-two and three."
