"""The training texts and the synthetic emotional corpus made from them."""
