"""The page: one file a tab, no logic; what it does is in `emovoice.serve.studio`. Run it with `emovoice demo`."""
