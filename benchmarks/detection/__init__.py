"""A labelled set of support transcripts, written with its labels; nothing in it was ever searched for."""
