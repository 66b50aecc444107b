// Search: words and "phrases" that all must occur; wer>20, sec<3, wpm>200 (words a minute), words=1; id:…, ref:…, hyp:… or a column's name before a colon.
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
  const field = term.slice(0, colon);
  if (colon > 0 && utterances.length && Object.hasOwn(searchable(utterances[0]).fields, field)) {
    const wanted = term.slice(colon + 1);
    return (utterance) => searchable(utterance).fields[field].includes(wanted);
  }
  return (utterance) => searchable(utterance).all.includes(term);
}

function readQuery(text) {
  const terms = text.toLowerCase().match(/(?:[^\s":]+:)?"[^"]*"|[^\s]+/g) || [];
  return terms.map((term) => readTerm(term.replaceAll('"', ""))).filter((term) => term !== null);
}

// Numbers in names count as numbers (base_9 before base_10). Names are compared once and then sorted by their places.
const byName = new Intl.Collator("en", { numeric: true });
const places = new Map();
function placesOf(name, textOf) {
  if (!places.has(name)) {
    const texts = [...new Set(utterances.map(textOf))].sort(byName.compare);
    const placeOf = new Map(texts.map((text, place) => [text, place]));
    places.set(name, utterances.map((utterance) => placeOf.get(textOf(utterance))));
  }
  return places.get(name);
}

const compareTexts = (a, b) => (a < b ? -1 : Number(a > b));
const ORDERS = {
  wer: () => (a, b) => (a.wer ?? -1) - (b.wer ?? -1) || a.errors - b.errors,
  id: () => { const at = placesOf("id", (one) => one.id); return (a, b) => at[a.index] - at[b.index]; },
  text: () => (a, b) => compareTexts(searchable(a).fields.ref, searchable(b).fields.ref),
  sec: () => (a, b) => a.duration - b.duration,
  slice: () => { const at = placesOf(view.column, (one) => one.columns[view.column] ?? ""); return (a, b) => at[a.index] - at[b.index]; },
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
