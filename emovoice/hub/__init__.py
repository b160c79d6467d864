"""Published checkpoints on disk: which there are, fetching, checking, converting and reading them.

    registry.models()                        what can be had, from checkpoints/registry.json
    pull.pull("indextts-2", folder, ...)     downloads, resumes, verifies
    check.check(folder)                      what is missing or of the wrong shape
    convert.convert(folder)                  .pth, .pt, .bin -> safetensors, without ever running a pickle
    parts.open_part(folder, "t2s").fill(m)   tensor by tensor into a module

Importing this package is cheap; torch and huggingface_hub are imported by the functions that need them.
"""
