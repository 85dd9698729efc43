#!/usr/bin/env python3
"""Prints one line of 10 MB, then a verdict."""

import sys

sys.stdout.write("x" * 10_000_000 + "\nORCH-VERDICT: pass\n")
