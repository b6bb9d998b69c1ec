"""The wing of editing: systems that change a picture as a sentence says."""
TASKS = ("editing",)
GUESTS = ("semantic",)  # tasks of systems that answer some of the same instructions, each in its own way
