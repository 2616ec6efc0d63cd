"""`tracemark usage`: what each action cost, in the form of the study's two tables."""
