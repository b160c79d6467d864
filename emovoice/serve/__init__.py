"""The speech API over HTTP, and what the page is made of.

    request -- guards (host, size, time, token) --> app (routes) --> speech, conversion (Job)
                                                                        |
    response <-- encoders (wav, mp3, ...) <-- marks <-- chunks <-- batching (queue, workers) <-- Engine

The API is the one that clients of `POST /v1/audio/speech` expect; `docs/server.md` lists it with its extensions.
"""
