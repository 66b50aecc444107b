// One utterance: its words above each other, its audio.
const NAMES = { S: "substituted", D: "deleted", I: "inserted" };

function spokenSummary(utterance, steps) {
  const wrong = steps.filter((step) => step.mark !== "");
  const changes = wrong.map((step) => {
    if (step.mark === "S") return `${step.ref} recognised as ${step.hyp}`;
    return `${step.ref ?? step.hyp} ${NAMES[step.mark]}`;
  });
  return `Reference: ${refOf(utterance) || "nothing"}. Hypothesis: ${hypOf(utterance) || "nothing"}. ${
    wrong.length ? `${plural(wrong.length, "error")}: ${changes.join(", ")}.` : "No errors."}`;
}

function alignedPair(step) {
  const ref = element("b", { class: step.ref === null ? "none" : step.mark, text: step.ref ?? "∅" });
  const hyp = element("i", { class: step.hyp === null ? "none" : step.mark, text: step.hyp ?? "∅" });
  return element("span", { class: "pair" }, ref, hyp, element("small", { text: step.mark }));
}

function showDetail(utterance) {
  const steps = readSteps(utterance.steps);
  find("detail-id").textContent = utterance.id;
  const rate = utterance.words ? `WER ${percent(utterance.wer)} %` : "empty reference";
  const facts = [rate, `${plural(utterance.errors, "error")} in ${plural(utterance.words, "word")}`, `${utterance.duration.toFixed(2)} s`];
  data.columns.forEach((name, at) => { if (utterance.columns[at]) facts.push(`${name}: ${utterance.columns[at]}`); });
  find("detail-facts").replaceChildren(...facts.map((text) => element("span", { text })));
  find("detail-spoken").textContent = spokenSummary(utterance, steps);
  const lead = element("span", { class: "lead" }, element("span", { text: "ref" }), element("span", { text: "hyp" }));
  find("alignment").replaceChildren(lead, ...steps.map(alignedPair));
  showAudio(utterance);
}
