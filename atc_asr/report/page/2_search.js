// Query terms, all of which must match: words and "phrases"; comparisons (wer>20, sec<3, words=1, wpm>200 words per minute);
// field:text, where the field is id, ref, hyp or a column of the manifest; and slot:altitude=5000, where the hypotheses have slots.
const hasSlots = Object.keys(data.slots).length > 0;
const NUMBERS = { wer: "wer", sec: "duration", wpm: "speed", words: "words", errors: "errors" };
const COMPARISONS = {
  ">": (a, b) => a > b, "<": (a, b) => a < b, ">=": (a, b) => a >= b, "<=": (a, b) => a <= b, "=": (a, b) => Math.abs(a - b) < 0.05,
};

function readTerm(term) {
  const number = /^(wer|sec|wpm|words|errors)(>=|<=|>|<|=)(\d+(?:\.\d+)?)$/.exec(term);
  if (number) {
    const [, name, sign, value] = number;
    return (utterance) => utterance[NUMBERS[name]] !== null && COMPARISONS[sign](utterance[NUMBERS[name]], Number(value));
  }
  const colon = term.indexOf(":");
  if (hasSlots && term.startsWith("slot:")) return (utterance) => searchable(utterance).slotTerms.has(term.slice(colon + 1));
  const field = term.slice(0, colon);
  if (colon > 0 && utterances.length && Object.hasOwn(searchable(utterances[0]).fields, field)) {
    const wanted = term.slice(colon + 1);
    return (utterance) => searchable(utterance).fields[field].includes(wanted);
  }
  return (utterance) => searchable(utterance).all.includes(term);
}

function readQuery(text) {
  const terms = text.toLowerCase().match(/(?:[^\s":]+:)?"[^"]*"|[^\s]+/g) || [];
  return terms.map((term) => readTerm(term.replaceAll('"', "")));
}

// Names are sorted with their numbers as numbers (base_9 before base_10). Each column is ranked once; later sorts compare ranks.
const byName = new Intl.Collator("en", { numeric: true });
const ranks = new Map();
function compareNames(key, nameOf) {
  if (!ranks.has(key)) {
    const names = [...new Set(utterances.map(nameOf))].sort(byName.compare);
    const rankOf = new Map(names.map((name, rank) => [name, rank]));
    ranks.set(key, utterances.map((utterance) => rankOf.get(nameOf(utterance))));
  }
  const rank = ranks.get(key);
  return (a, b) => rank[a.index] - rank[b.index];
}

const compareTexts = (a, b) => (a < b ? -1 : Number(a > b));
const ORDERS = {
  wer: () => (a, b) => (a.wer ?? -1) - (b.wer ?? -1) || a.errors - b.errors,
  id: () => compareNames("id", (utterance) => utterance.id),
  text: () => (a, b) => compareTexts(searchable(a).fields.ref, searchable(b).fields.ref),
  sec: () => (a, b) => a.duration - b.duration,
  slice: () => compareNames(view.column, (utterance) => utterance.columns[view.column] ?? ""),
};

const view = { rows: [], selected: null, sort: "wer", descending: true, query: "", column: 0, value: "" };

function selectRows() {
  const terms = readQuery(view.query);
  const rows = utterances.filter(
    (utterance) => (view.value === "" || utterance.columns[view.column] === view.value) && terms.every((term) => term(utterance)),
  );
  const order = ORDERS[view.sort]();
  const sign = view.descending ? -1 : 1;
  view.rows = rows.sort((a, b) => sign * order(a, b) || a.index - b.index);
}
