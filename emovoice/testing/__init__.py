"""Proof that modules compute what the published ones compute: parity vectors and the rule that draws their weights."""
