"""The wing of editing: systems that change a picture as a sentence says."""
TASKS = ("editing",)
