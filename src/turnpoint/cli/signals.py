"""Signals that verbs of a conversation hear, wherever they were started."""

import signal


def hear(*signals: signal.Signals) -> None:
    """Let each of the signals raise KeyboardInterrupt: a shell that starts a program with `&` has SIGINT ignored."""
    for each in signals:
        signal.signal(each, signal.default_int_handler)
