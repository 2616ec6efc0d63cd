#!/bin/sh
exec python3 /stand_in.py
