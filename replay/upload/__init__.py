"""The upload scenario: exams sent to XNAT in bursts over hours, nobody at the keyboard; begin at `uploader.py`."""
