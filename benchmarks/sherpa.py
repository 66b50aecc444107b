"""Word error rate of sherpa-onnx with the exported network, and of greedy decoding here, on a manifest.

python -m benchmarks.sherpa [--checkpoint_dir models/asr] [--manifest data/corpus/base/test.csv] [--threads 2]
"""

import argparse
import tempfile
import time
from pathlib import Path

import sherpa_onnx
import torch

from atc_asr.core.manifest import read_manifest
from atc_asr.decoding.ctc import greedy
from atc_asr.deploy import sherpa
from atc_asr.model.run_folder import load_recognizer
from atc_asr.posteriors.forward import compute_log_probs, read_signal
from atc_asr.wer.wer import count_edits, total


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint_dir", type=Path, default=Path("models/asr"))
    parser.add_argument("--manifest", type=Path, default=Path("data/corpus/base/test.csv"))
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    recognizer = load_recognizer(args.checkpoint_dir, device="cpu")
    utterances = read_manifest(args.manifest)
    rows = compute_log_probs(recognizer, utterances, 60.0)
    ours = {index: greedy(log_probs, recognizer.tokens).hyp for index, log_probs in rows}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "sherpa"
        print(f"log-probabilities of the graph within {sherpa.export(recognizer, folder):.1e}")
        loaded = sherpa_onnx.OfflineRecognizer.from_omnilingual_asr_ctc(
            model=str(folder / "model.onnx"), tokens=str(folder / "tokens.txt"), num_threads=args.threads
        )
    theirs, seconds, late = {}, 0.0, 0
    for index, utterance in enumerate(utterances):
        samples = read_signal(utterance, recognizer.sample_rate)
        started = time.perf_counter()
        stream = loaded.create_stream()
        stream.accept_waveform(recognizer.sample_rate, samples)
        loaded.decode_stream(stream)
        seconds += time.perf_counter() - started
        theirs[index] = stream.result.text.strip()
        late += any(start > utterance.duration for start in stream.result.timestamps)
    for title, texts in (("here, greedy", ours), ("sherpa-onnx", theirs)):
        counts = total(
            count_edits(row.transcript.split(), texts[index].split()) for index, row in enumerate(utterances)
        )
        print(f"{title}: WER {100 * counts.errors / counts.ref_length:.2f} % on {len(utterances)} utterances")
    audio = sum(utterance.duration for utterance in utterances)
    print(f"sherpa-onnx: {audio / seconds:.0f} x real time, {late} utterances with a time behind their end")


if __name__ == "__main__":
    main()
