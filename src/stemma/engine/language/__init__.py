"""The wing of language: models of sentences, and translators of sentences into programs."""
TASKS = ("language",)
