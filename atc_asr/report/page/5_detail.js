// The selected utterance: aligned words, audio and spectrogram.
const NAMES = { S: "substituted", D: "deleted", I: "inserted" };

// For screen readers.
function describeErrors(utterance, steps) {
  const wrong = steps.filter((step) => step.mark !== "");
  const changes = wrong.map((step) => {
    if (step.mark === "S") return `${step.ref} recognised as ${step.hyp}`;
    return `${step.ref ?? step.hyp} ${NAMES[step.mark]}`;
  });
  return `Reference: ${textOf(utterance, "ref") || "nothing"}. Hypothesis: ${textOf(utterance, "hyp") || "nothing"}. ${
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
  const info = [rate, `${plural(utterance.errors, "error")} in ${plural(utterance.words, "word")}`, `${utterance.duration.toFixed(2)} s`];
  data.columns.forEach((name, index) => { if (utterance.columns[index]) info.push(`${name}: ${utterance.columns[index]}`); });
  find("detail-info").replaceChildren(...info.map((text) => element("span", { text })));
  find("detail-description").textContent = describeErrors(utterance, steps);
  const sides = element("span", { class: "sides" }, element("span", { text: "ref" }), element("span", { text: "hyp" }));
  find("alignment").replaceChildren(sides, ...steps.map(alignedPair));
  showAudio(utterance);
}
