"""Finds blocked words in prompts, also where somebody tried to hide them. Pure: text in, the word that is in it out."""
