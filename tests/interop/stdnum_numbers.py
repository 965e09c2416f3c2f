"""Numbers of people and accounts, valid and not, as python-stdnum judges them: one JSON object a line.

    stdnum_numbers.py SEED COUNT

COUNT of each kind pass their check and COUNT do not. Those that do not are one step from one that does, or random.
"""

import json
import random
import string
import sys

from stdnum import iban, luhn
from stdnum.be import nn
from stdnum.br import cpf
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fr import nir
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.pl import pesel
from stdnum.us import ssn

DIGITS, LETTERS = string.digits, string.ascii_uppercase


def digits(rng, count):
    return "".join(rng.choice(DIGITS) for _ in range(count))


def date(rng):
    return f"{rng.randrange(0, 100):02}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}"


def steuer_id(rng):
    some = rng.sample(DIGITS, 9)
    some.insert(rng.randrange(10), rng.choice(some))
    return "".join(some) + rng.choice(DIGITS)


def codice_fiscale(rng):
    name = "".join(rng.choice(LETTERS) for _ in range(6))
    day = rng.randrange(1, 29) + rng.choice([0, 40])
    month = rng.choice("ABCDEHLMPRST")
    return f"{name}{digits(rng, 2)}{month}{day:02}{rng.choice('ABCDEFGHIL')}{rng.randrange(1, 1000):03}{rng.choice(LETTERS)}"


def account(rng):
    country, length = rng.choice([("DE", 18), ("FI", 14), ("PL", 24), ("ES", 20), ("AT", 16), ("PT", 21)])
    return country + digits(rng, 2) + digits(rng, length)


def is_card(number):
    return luhn.is_valid(number)


def is_account(number):
    # Its check digits and length; the checks within a country's numbers are another matter.
    return iban.is_valid(number, check_country=False)


KINDS = [
    # detector, name of the field, how to make one, how stdnum judges
    ("payment_card", "card", lambda rng: "4" + digits(rng, 15), is_card),
    ("iban", "iban", account, is_account),
    ("us_ssn", "ssn", lambda rng: digits(rng, 9), ssn.is_valid),
    ("fr_nir", "nir", lambda rng: rng.choice("12") + digits(rng, 2) + f"{rng.randrange(1, 13):02}" + digits(rng, 10), nir.is_valid),
    ("nl_bsn", "bsn", lambda rng: digits(rng, 9), bsn.is_valid),
    ("de_steuer_id", "steuer_id", steuer_id, idnr.is_valid),
    ("es_dni", "dni", lambda rng: digits(rng, 8) + rng.choice(LETTERS), dni.is_valid),
    ("es_dni", "nie", lambda rng: rng.choice("XYZ") + digits(rng, 7) + rng.choice(LETTERS), nie.is_valid),
    ("it_codice_fiscale", "codice_fiscale", codice_fiscale, codicefiscale.is_valid),
    ("pl_pesel", "pesel", lambda rng: date(rng) + digits(rng, 5), pesel.is_valid),
    ("be_nrn", "nrn", lambda rng: date(rng) + digits(rng, 5), nn.is_valid),
    ("br_cpf", "cpf", lambda rng: digits(rng, 11), cpf.is_valid),
]


def changed(rng, number):
    at = rng.randrange(len(number))
    kind = DIGITS if number[at] in DIGITS else LETTERS
    return number[:at] + rng.choice(kind.replace(number[at], "")) + number[at + 1 :]


def main():
    rng, count = random.Random(int(sys.argv[1])), int(sys.argv[2])
    for detector, name, make, judge in KINDS:
        valid, invalid = [], []
        while len(valid) < count:
            number = make(rng)
            if judge(number):
                valid.append(number)
            elif len(invalid) < count // 2:
                invalid.append(number)
        while len(invalid) < count:
            number = changed(rng, rng.choice(valid))
            if not judge(number):
                invalid.append(number)
        for numbers, is_valid in ((valid, True), (invalid, False)):
            for number in numbers:
                print(json.dumps({"detector": detector, "name": name, "number": number, "valid": is_valid}))


main()
