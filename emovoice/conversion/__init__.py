"""A recording spoken again with another emotion.

    source     blocks of samples from a file, an array or a stream, and what there is to say about them
    pieces     where to cut a long recording, and how its pieces are joined again       (pure)
    target     which emotion vector is wanted when                                      (pure)
    converter  one piece through the networks                                           (torch)
    stream     all of it, chunk by chunk
"""
