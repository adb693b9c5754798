"""Takes in pictures that people upload: checked, normalised and stripped of metadata, in a process of their own.

The bot hands over bytes and gets a plain PNG back; what somebody else made is decoded in a short-lived child alone.
"""
