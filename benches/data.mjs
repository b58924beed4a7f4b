/**
 * The chats that every contestant is given: made from a seed, the same in every process.
 *
 * Holds: what a chat looks like (lengths, languages, who writes when) and the words that are searched
 * for. Lengths of messages are lognormal with a median of 280 characters, up to 20,000; about a
 * quarter of the messages have characters outside of ASCII; several sessions go on at a time, so
 * their messages come interleaved. Must not know: who stores them, or what is measured.
 */

export const searched = {
  /** In a handful of messages of 100,000. */
  rare: 'zyxomatic',
  /** In about a fifth of the messages. */
  common: 'nalo',
  /** Each in a tenth of the messages or less, both in one of a hundred. */
  two: 'rimo tesa',
};

/** One long chat that is in every store: what "read 10,000 messages" reads. */
export const long_session = { id: 'session-long', messages: 10_000 };

const median_characters = 280;
const sigma_characters = 1;
const longest_characters = 20_000;
const non_ascii_share = 0.25;
const rare_share = 1 / 10_000;
const bots = 20;
const words = 20_000;
const median_session_messages = 30;
const first_ms = Date.UTC(2024, 0, 1);

/** A small generator with 32 bits of state (mulberry32): enough for data, and the same everywhere. */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const normal = (random) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const lognormal = (random, median, sigma) => median * Math.exp(sigma * normal(random));

/** The first characters of a text, without half of a surrogate pair at the end. */
const cut = (text, length) =>
  text
    .slice(0, length)
    .replace(/[\ud800-\udbff]$/, '')
    .trim();

const consonants = ['b', 'd', 'f', 'k', 'l', 'm', 'n', 'p', 'r', 's', 't', 'v', 'z', 'st', 'tr', 'gl'];
const vowels = ['a', 'e', 'i', 'o', 'u', 'ai', 'ou'];

/** Pronounceable words, the frequent ones short. No two are equal, and none is a word that is searched for. */
function makeVocabulary(random) {
  const placed = new Map([
    [20, searched.common],
    [40, searched.two.split(' ')[0]],
    [60, searched.two.split(' ')[1]],
  ]);
  const taken = new Set([...placed.values(), searched.rare]);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const vocabulary = [];
  while (vocabulary.length < words) {
    const rank = vocabulary.length;
    const syllables = rank < 40 ? 1 : rank < 800 ? 2 : 3 + Math.floor(random() * 2);
    let word = placed.get(rank) ?? '';
    while (word === '' || (!placed.has(rank) && taken.has(word))) {
      word = '';
      for (let i = 0; i < syllables; i++) word += pick(consonants) + pick(vowels);
    }
    taken.add(word);
    vocabulary.push(word);
  }
  return vocabulary;
}

/** The word of a rank is used about 1/rank times as often as the first (Zipf). */
function zipfPicker(random, count) {
  const slots = 1 << 16;
  const table = new Uint16Array(slots);
  let total = 0;
  for (let rank = 1; rank <= count; rank++) total += 1 / rank;
  let slot = 0;
  let sum = 0;
  for (let rank = 1; rank <= count; rank++) {
    sum += 1 / rank;
    const end = Math.round((sum / total) * slots);
    while (slot < end) table[slot++] = rank - 1;
  }
  return () => table[Math.floor(random() * slots)];
}

const accented = ['café', 'naïve', 'über', 'mañana', 'résumé', 'smörgås', 'crème', 'año', 'größer', 'où'];
const east_asian = ['你好', '今日は天気がいい', '谢谢你的帮助', '안녕하세요', '東京', '数据库', 'ありがとう'];
const emoji = ['😀', '🚀', '👍🏽', '👩‍💻', '🎉', '❤️', '🤖', '🇮🇹'];

function makeWriter(random) {
  const vocabulary = makeVocabulary(random);
  const zipf = zipfPicker(random, words);
  const pick = (list) => list[Math.floor(random() * list.length)];
  return function write() {
    const wanted = Math.min(longest_characters, Math.max(2, lognormal(random, median_characters, sigma_characters)));
    const kind = random() < non_ascii_share ? pick([accented, east_asian, emoji]) : undefined;
    let text = vocabulary[zipf()];
    if (random() < rare_share) text += ` ${searched.rare}`;
    if (kind !== undefined) text += ` ${pick(kind)}`;
    while (text.length < wanted) {
      const chance = random();
      if (chance < 0.08) text += chance < 0.01 ? '.\n' : '.';
      text += ` ${kind !== undefined && chance > 0.92 ? pick(kind) : vocabulary[zipf()]}`;
    }
    return inOnePiece(text.length > longest_characters ? cut(text, longest_characters) : text);
  };
}

/**
 * As texts come from a network or a parser. Engines keep what was put together as its pieces until somebody reads
 * it: whoever stores it would do that within the time of the row.
 */
const inOnePiece = (text) => decoder.decode(encoder.encode(text));
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** An id of the shape and length of a UUID that grows with time, as people use them. */
function idOf(prefix, number, random) {
  const tail = Math.floor(random() * 0xffffffff)
    .toString(16)
    .padStart(8, '0');
  const digits = number.toString(16).padStart(12, '0');
  return `${prefix}${digits.slice(0, 7)}-${digits.slice(7, 11)}-7${digits.slice(11)}${tail.slice(0, 2)}-8${tail.slice(2, 5)}-${tail.slice(5)}${digits}`.slice(
    0,
    36,
  );
}

/**
 * `size` messages in sessions of usual length, and the long chat beside them, all in the order of
 * time, which no two share.
 *
 * @returns {{ bots: object[], sessions: object[], messages: object[] }}
 */
export function makeChats(seed, size, { long = long_session.messages } = {}) {
  const random = randomFrom(seed);
  const write = makeWriter(random);
  const botList = Array.from({ length: bots }, (_, i) => ({
    id: `bot-${i}`,
    name: `Bot ${i}`,
    model: `model-${i % 5}`,
    createdAt: first_ms,
  }));
  const botOf = () => botList[Math.floor(random() ** 2 * bots)];

  const sessions = [];
  const turns = [];
  const addSession = (id, count, start_ms, pause_ms) => {
    const bot = botOf();
    sessions.push({ id, botId: bot.id, title: cut(write(), 40), createdAt: Math.floor(start_ms) });
    let at_ms = start_ms;
    for (let i = 0; i < count; i++) {
      at_ms += pause_ms * (0.2 + random() * 1.6);
      turns.push({ at_ms, session: sessions.length - 1, assistant: i % 2 === 1, bot });
    }
  };
  let start_ms = first_ms;
  const long_pause_ms = (size * 20_000) / Math.max(1, long);
  if (long > 0) addSession(long_session.id, long, first_ms, long_pause_ms);
  for (let made = 0; made < size;) {
    const count = Math.min(size - made, Math.max(2, Math.round(lognormal(random, median_session_messages, 1.1))));
    addSession(`session-${idOf('0', sessions.length, random)}`, count, start_ms, 60_000);
    made += count;
    start_ms += count * 20_000;
  }

  turns.sort((one, other) => one.at_ms - other.at_ms);
  let last_ms = 0;
  const messages = turns.map(({ at_ms, session, assistant, bot }, i) => {
    last_ms = Math.max(last_ms + 1, Math.floor(at_ms));
    const content = write();
    const message = {
      sessionId: sessions[session].id,
      id: idOf('1', i, random),
      botId: bot.id,
      role: assistant ? 'assistant' : 'user',
      content,
      createdAt: last_ms,
    };
    if (assistant) {
      message.model = bot.model;
      message.usage = { inputTokens: 20 + Math.floor(random() * 2_000), outputTokens: Math.ceil(content.length / 4) };
    }
    return message;
  });
  return { bots: botList, sessions, messages };
}
