"""emovoice: speech in a chosen voice, emotion, intensity and time."""
