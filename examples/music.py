"""What would Bach write next? A GRU reads which keys sound and says which will: several labels a step.

`RNNTagger` learns from 229 chorales, a beat being a vector of 88 keys that sound or not, which keys sound a beat later.
Its figure is the cross-entropy in nats a beat, summed over the keys, on the 77 test pieces; floors: how often each key
sounds, and how often after itself. Then `generate` goes on with a test piece, each beat drawn being read as the next
one: of fifty phrases of a bar the one with four voices and fewest clashes stays, and the next ones go on from it.
What comes of it is drawn as a piano roll, and written as a MIDI file.
"""

import mido
import numpy as np
from common import benchmark, parser, save, subplots, table, timed

from fastrnn import RNNTagger

LOWEST = 9  # the MIDI number of the first of the 88 keys: the data stand an octave above where choirs sing
VOICES = 4
BEATS_READ, PHRASE, N_PHRASES, TRIES = 16, 4, 20, 50
TICKS, TEMPO, ORGAN = 480, 90, 19  # a beat's length in the file, beats a minute, General MIDI's church organ


def write_midi(roll, path):
    """Save a piece, indicators of shape (n_beats, 88); a key that goes on sounding is held, not struck again."""
    file = mido.MidiFile(ticks_per_beat=TICKS)
    track = file.add_track()
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(TEMPO)))
    track.append(mido.Message("program_change", program=ORGAN))
    last, silence = 0, np.zeros((1, roll.shape[1]), dtype=int)
    changes = np.diff(np.concatenate([silence, roll, silence]).astype(int), axis=0)
    for beat, key in sorted(np.argwhere(changes), key=lambda at: (at[0], changes[tuple(at)])):  # releases come first
        kind = "note_on" if changes[beat, key] > 0 else "note_off"
        time = int(beat - last) * TICKS
        track.append(mido.Message(kind, note=LOWEST + int(key), velocity=72, time=time))
        last = beat
    file.save(path)


def describe(roll):
    """Voices at once, share of silent beats, share of beats with two keys a semitone apart."""
    voices = roll.sum(axis=1)
    semitones = (roll[:, 1:] & roll[:, :-1]).any(axis=1)
    return voices.mean(), (voices == 0).mean(), semitones.mean()


def compose(model, opening, rng):
    """Go on with a piece, phrase by phrase: of some that are drawn the one stays that sounds best."""
    music = opening.astype(int)
    for _ in range(N_PHRASES):
        phrases = [model.generate(PHRASE, music, temperature=0.9, random_state=rng) for _ in range(TRIES)]
        music = np.concatenate([music, min(phrases, key=harshness)])
    return music


def harshness(roll):
    """Of a phrase: voices too many or too few, and keys at once that are a semitone (twice) or a whole tone apart."""
    seconds = [(roll[:, gap:] & roll[:, :-gap]).sum() for gap in (1, 2)]
    return np.abs(roll.sum(axis=1) - VOICES).sum() + 2 * seconds[0] + seconds[1]


def draw(roll, probabilities, path):
    """Save the piano roll, with what the network thought likely in the background."""
    figure, axes = subplots(figsize=(10.0, 4.4))
    used = np.flatnonzero(roll.any(axis=0))
    low, high = used[0] - 2, used[-1] + 2
    extent = (-0.5, len(roll) - 0.5, LOWEST + low - 0.5, LOWEST + high + 0.5)
    shown = {"origin": "lower", "aspect": "auto", "extent": extent, "interpolation": "nearest"}
    image = axes.imshow(probabilities[:, low : high + 1].T, cmap="Oranges", vmin=0, vmax=1, **shown)
    beats, keys = np.nonzero(roll)
    axes.barh(LOWEST + keys, 0.9, left=beats - 0.45, height=0.5, color=np.where(beats < BEATS_READ, "0.35", "C0"))
    axes.axvline(BEATS_READ - 0.5, color="black", linestyle="--", linewidth=1.0)
    axes.set(xlabel="beat", ylabel="MIDI note (60: middle C)", title="Grey: Bach. Blue: drawn, beat after beat.")
    figure.colorbar(image, label="probability before it was drawn", pad=0.01)
    save(figure, path)


def main(argv=None):
    """Train, print, write, draw."""
    made = parser(__doc__, "music.png")
    made.add_argument("--midi", default="music.mid", metavar="FILE", help="where to write (default %(default)s)")
    options = made.parse_args(argv)
    chorales = benchmark("jsb_chorales")
    (X, y), (X_val, y_val), (X_test, y_test) = map(chorales.questions, chorales.PARTS)
    if options.small:
        X, y = X[:40], y[:40]
    print(f"chorales: {len(X)} for training, {len(X_val)} for validation and {len(X_test)} for the test\n")
    model = RNNTagger(
        (100,),
        cell="gru",
        dropout=0.3,
        alpha=0.0,
        batch_size=16,
        learning_rate="cosine",
        learning_rate_init=0.01,
        max_iter=4 if options.small else 60,
        early_stopping=True,
        n_iter_no_change=20,
        random_state=0,
    )
    with timed("training"):
        model.fit(X, y, X_val=X_val, y_val=y_val)
    names = ("GRU", "floor: how often a key sounds", "floor: how often after itself")
    nats = model.log_loss(X_test, y_test), *chorales.floors()
    table("cross-entropy, nats a beat", dict(zip(names, nats)), "{:.2f}")

    opening = X_test[0][:BEATS_READ]
    whole = compose(model, opening, np.random.default_rng(0))
    rows = {"Bach's test pieces": describe(np.concatenate(y_test)), "what was composed": describe(whole[BEATS_READ:])}
    table("voices at once, share of silent beats, of beats with semitones", rows, "{:5.2f}")
    write_midi(whole, options.midi)
    print(f"music: {options.midi}")
    said = model.predict_proba([whole[:-1].astype(np.float32)])[0]
    draw(whole, np.concatenate([np.zeros_like(said[:1]), said]), options.picture)


if __name__ == "__main__":
    main()
