#!/usr/bin/env python3
"""Makes www/sample/chitchat.json.gz, the real chats that the example and the demo page show.

In: dataset.json of the PyPI package chitchat-dataset 0.9.0 (MIT) and
www/sample/conversations.txt, which names the conversations that are taken.
Out: the sample; the same bytes each time (seeded, no clock, gzip without a
time stamp).

    scripts/make-sample.py DATASET.json                       make the sample
    scripts/make-sample.py DATASET.json --choose WORDS.txt    first choose anew

Choosing needs a list of words, one a line in lower case: a conversation in
which one of them stands, in any of its forms, is not taken ("=word": in that
form only). The list (swear words, grim topics, first names) is not part of the
project: its result, conversations.txt, is.
This script knows nothing of chatstore; the shape of the sample is described in
www/sample/README.md.
"""

import argparse
import gzip
import hashlib
import json
import re
import sys
from datetime import datetime, timezone
from pathlib import Path

SAMPLE_DIR = Path(__file__).resolve().parent.parent / "www" / "sample"
SAMPLE_FILE = SAMPLE_DIR / "chitchat.json.gz"
CONVERSATIONS_FILE = SAMPLE_DIR / "conversations.txt"
SIZE_LIMIT_BYTES = 400_000

SEED = "chatstore sample"
# Messages from, messages up to, conversations taken of that length. Fewer are
# taken where fewer pass the filter.
SPREAD = [(2, 4, 30), (5, 9, 60), (10, 19, 90), (20, 49, 130), (50, 99, 60), (100, 199, 10)]
# No conversation of several hundred messages passes the list of words, so these
# were chosen by reading them. A number is how many of the messages are taken:
# the rest turns to where the two went to school.
LONG = {
    "3aea1709-f4eb-4219-b98e-e9a45a39032d": None,
    "c56e7d1e-51aa-4d6a-aab6-696fe50e79cb": 409,
    "e01bcd72-79bd-49cf-9979-84e87a74ec10": None,
}

# What may lead to a person: addresses, numbers, accounts, introductions.
PERSONAL = re.compile(
    r"""https?:|www\.|\.(?:com|org|net|edu|io|ly|me|tv)\b|@|\#\w
      | \d[\d\-\s().]{6,}\d
      | \b(?:Dr|Mr|Mrs|Ms|Prof|Professor|Brother|Sister|Bishop|Elder)\b\.?\s[A-Z]
      | \b(?i:instagram|insta|facebook|fb|snapchat|snap\ chat|linkedin|venmo|tinder|twitter
          |gmail|e-?mail|password|phone\ number|(?:my|your|last|first|real|full|nick)\ ?name
          |names?\ (?:is|are|was)|name's|call\ me|text\ me|add\ me|dm\ me|i\ live\ (?:at|on|in)
          |my\ (?:number|address|birthday)|apartment|years\ old|year\ old)\b""",
    re.VERBOSE,
)


def read_dataset(path):
    """All conversations as {id: {id, title, messages: [{role, text, at_ms}]}}."""
    conversations = {}
    for conversation_id, source in json.loads(path.read_text()).items():
        # The dataset groups the messages into turns; the turns are flattened.
        messages = [message for turn in source["messages"] for message in turn]
        first_sender = messages[0]["sender"] if messages else None
        conversations[conversation_id] = {
            "id": conversation_id,
            "title": source.get("prompt") or None,
            "senders": len({message["sender"] for message in messages}),
            "messages": [
                {
                    "role": "user" if message["sender"] == first_sender else "assistant",
                    "text": message["text"],
                    "at_ms": milliseconds(message["timestamp"]),
                }
                for message in messages
            ],
        }
    return conversations


def milliseconds(timestamp):
    moment = datetime.strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return int(moment.timestamp()) * 1000


def choose(conversations, skipped_words):
    """Lines for conversations.txt: an id, then a number of messages where it is cut."""
    taken = dict(LONG)
    # Shuffled by a hash: where the list of words grows, only what it hits is replaced.
    fitting = sorted(
        (key for key, value in conversations.items() if fits(value, skipped_words)),
        key=lambda key: hashlib.sha256(f"{SEED} {key}".encode()).digest(),
    )
    for shortest, longest, count in SPREAD:
        of_length = [key for key in fitting if shortest <= len(conversations[key]["messages"]) <= longest]
        taken.update(dict.fromkeys(of_length[:count]))
    return [key if cut is None else f"{key} {cut}" for key, cut in sorted(taken.items())]


def fits(conversation, skipped_words):
    texts = [message["text"] for message in conversation["messages"]]
    if conversation["senders"] != 2 or not all(text.strip() for text in texts):
        return False
    together = "\n".join(texts)
    if PERSONAL.search(together) or re.search(r"[a-z]\*+[a-z]|\*{3,}", together, re.IGNORECASE):
        return False
    return not skipped_words & spellings(together.lower())


def spellings(text):
    """Every word of the text, as "=word" and as "word"; then also with its stretched letters
    shortened ("soooo": "soo", "so") and without the common endings."""
    words = set(re.findall(r"[a-z]+", text))
    exact = {f"={word}" for word in words}
    for word in list(words):
        words.add(re.sub(r"(.)\1{2,}", r"\1\1", word))
        words.add(re.sub(r"(.)\1{2,}", r"\1", word))
    for word in list(words):
        for ending in ("s", "es", "ed", "er", "ers", "ing", "in", "y"):
            if word.endswith(ending) and len(word) - len(ending) >= 3:
                words.add(word.removesuffix(ending))
    return words | exact


def make_sample(conversations, lines):
    chosen = []
    for line in lines:
        conversation_id, _, cut = line.partition(" ")
        conversation = conversations[conversation_id]
        messages = conversation["messages"][: int(cut) if cut else None]
        chosen.append({"id": conversation_id, "title": conversation["title"], "messages": messages})
    # Oldest first, as they took place; the id settles ties.
    chosen.sort(key=lambda one: (one["messages"][0]["at_ms"], one["id"]))
    head = {"source": "PyPI chitchat-dataset 0.9.0", "licence": "MIT, see LICENSE-chitchat-dataset.txt"}
    rows = ",\n".join(json.dumps(one, separators=(",", ":")) for one in chosen)
    return f'{json.dumps(head)[:-1]}, "conversations": [\n{rows}\n]}}\n'.encode(), chosen


def main():
    parser = argparse.ArgumentParser(description="Make the sample of real chats.")
    parser.add_argument("dataset", type=Path, help="dataset.json of chitchat-dataset 0.9.0")
    parser.add_argument("--choose", type=Path, metavar="WORDS", help="choose anew, without these words")
    options = parser.parse_args()

    conversations = read_dataset(options.dataset)
    if options.choose:
        skipped_words = set(options.choose.read_text().split())
        CONVERSATIONS_FILE.write_text("\n".join(choose(conversations, skipped_words)) + "\n")
    text, chosen = make_sample(conversations, CONVERSATIONS_FILE.read_text().splitlines())
    packed = gzip.compress(text, compresslevel=9, mtime=0)
    if len(packed) > SIZE_LIMIT_BYTES:
        sys.exit(f"The sample takes {len(packed):,} bytes; the limit is {SIZE_LIMIT_BYTES:,}.")
    SAMPLE_FILE.write_bytes(packed)

    lengths = sorted(len(one["messages"]) for one in chosen)
    print(f"{len(chosen)} conversations, {sum(lengths):,} messages, {lengths[0]} to {lengths[-1]} in one")
    print(f"{len(text):,} bytes, compressed {len(packed):,}: {SAMPLE_FILE}")
    print(f"SHA-256 before compression: {hashlib.sha256(text).hexdigest()}")


if __name__ == "__main__":
    main()
