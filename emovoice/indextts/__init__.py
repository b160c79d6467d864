"""The published IndexTTS-2 and IndexTTS-2.5 models: their files, their configuration, their way from text to wave."""
