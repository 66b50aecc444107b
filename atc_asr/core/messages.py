"""Texts of all log messages. .dvcignore lists this file, so editing a message reruns no stage."""

# export
EXPORT_RESUMED = "resuming: %d of %d shards are already there"
EXPORT_SHARD_DONE = "--shard %s: %d of %d shards are in %s; the command without --shard joins them"
EXPORT_SHARDS_MISSING = "--shard %s: not found, exported here"
EXPORT_DONE = "%s: %s"  # folder, counts
NO_SUCH_SPLIT = "%s: has no split %s"
TEXT_REMOVED = "%s: removed from the transcripts: %d %s, most often %s"  # folder, number, kind, examples
NO_TRANSMISSIONS_IN = "%s: has no transmissions, left out"
DAMAGED_XML = "%s: %s; the transmissions before are used"
WRONG_LENGTHS = "%s: the headers of %d WAV files have another length than the audio, which is used; first: %s"
WRONG_BYTE_ORDER = "%s: the header's byte order is wrong, using the other one"
LEAKAGE = "corpora: %s"
NO_SUCH_CORPUS = "%s: is of no corpus in section corpora, left out"

# tokenizer, lm
TOKENIZER_DONE = "%s: %d %s tokens, blank included"
FALLBACK_DISCOUNTS = "orders %s: too little text to estimate discounts, using %s"

# train
WEIGHTS_LOADED = "%s: loaded %.1f %% of the parameters, %d of %d tokens"
TOO_MANY_TOKENS = "%d of %d train utterances have more tokens than frames and are left out, first: %s"
TOO_MANY_TOKENS_AT_SPEED = "%d train utterances have more tokens than frames at the highest speed: no loss there"
EPOCH_DONE = "epoch %d of %d: loss %.3f, on valid %.3f, WER on valid %s, %.0f x real time, about %.1f min left"
NOT_RECORDED = "training goes on without CUDA graphs, which make it faster: %s"
ON_GUARD = ", on %s %.1f %%"  # in EPOCH_DONE: corpus, WER
ABOVE_LIMIT = " (above %g %%)"
MEAN_ABOVE_LIMIT = "the mean of %d epochs is above train.max_guard_wer; using epoch %d alone"
CHECKPOINT_REMOVED = "%s: %s; removed, the training resumes from the checkpoint before it"

# score
CALLSIGNS_OF_REFERENCES = "references: call sign read in %d, unreadable in %d (not in the accuracy), none in %d"

# decode, calibrate
DECODE_SEARCH = "search: %s (%s), beam width %d, n-gram weight %g"
NO_EFFECT = "search: %s, decode.%s has no effect with it"
DECODE_DONE = "%d utterances, %.0f s of audio in %.1f s: %.0f x real time"
NO_TELEPHONY_NAME = "operator %s has no telephony name, its letters are spelled (score.operators adds names)"
NOT_CALIBRATED = "valid: %d correct words of %d, confidences are left as they are"

# transcribe
TRANSCRIBE_DONE = (
    "%d recordings, %.0f s of audio in %.1f s: %.0f x real time; %d transcripts without words, %d left out"
)
NO_WORDS = "%s: no words found in %d transmissions, %.1f s of audio with a level of %.1f dB of full scale"
TOO_QUIET = "%s: %.1f s of sound above the noise are below segment.min_level (%g dB of full scale) and are left out"
CLIPPED = "%s: %.1f %% of the samples are clipped, words may be wrong"
LOW_RATE_CODING = "%s: is coded as %s, which loses much of the voice: more words are wrong"
RECORDING_FAILED = "%s: left out: %s"
OTHER_FILES = "%s: %d other files are no audio by their names: %s"
CHANNELS_CANCEL = "%s: the channels cancel in the mix, using the %s channel"
WRONG_LENGTH = "%s: the header announces %d bytes of audio, using the %d that are there"
TRUNCATED = "%s: is truncated: %d of %d bytes of audio are missing"
TRUNCATED_FRAMES = "%s: is truncated: %.1f s of %.1f s could be read"

# readback
READBACK_COUNTED = "%s: %d %s"  # transcript, number, lines or clearances that are not as they should be
READBACK_DONE = "%d transmissions, %d clearances, %d of them read back: %d alerts"

# find_batch
BATCH_TRIED = "batch_size %d: %s"  # size, peak memory

# sweep
WAITING_FOR_TRIALS = "%s: waiting for the trials that a killed sweep left running"
TRIAL_STARTED = "%s: %s"  # experiment, its parameters
TRIAL_RETRIED = "%s: ended without a result, retry %d of %d"
TRIAL_FINISHED = "%s: %s%s"  # experiment, state, metric
EXPERIMENT_SKIPPED = "left out: %s"
SWEEP_CSV_DONE = "%s: %d experiments, %d new, %d changed, %d left out"

# preset, export_onnx, deploy_sherpa
PRESET_CHANGE = "%s: %s -> %s"  # section.key, old value, new value
PRESET_DONE = "%s: %d values of %s changed"
SHERPA_DONE = "%s: model.onnx and tokens.txt, log-probabilities within %.1e of the recogniser's"
ONNX_DONE = "%s: %.1f MB, log-probabilities within %.1e of the recogniser's"

# package, recogniser folders
PACKAGE_DONE = "%s: recogniser folder, log-probabilities within %.1e of the run folder's"
OTHER_TEXT_VERSION = "%s: text rules %s, this program has %s: texts are not comparable with its references"
