"""Ctrl-C: the first one stops a command where Python runs, a second one ends it at once."""

import os
import signal
import sys
import threading
import time

STATUS = 130
"""Exit status of a command that Ctrl-C ended."""
SAME_SECONDS = 0.2
"""Interrupts as close as this are one: a program that starts the command can pass the
terminal's on."""
_was_interrupted: list[bool] = []
DEFAULT = signal.default_int_handler
MESSAGE = (
    "\ninterrupted twice: ended at once. All files on disk are complete.\n"
)


def end_on_second_interrupt() -> None:
    """End this process at the second Ctrl-C, even while a compilation is running.

    The first one raises KeyboardInterrupt, which Python does when the compilation
    returns; later ones raise nothing. Outside the main thread, or where the signal is
    handled otherwise, nothing changes.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) != DEFAULT:
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGINT, _interrupt_once)
    sys.unraisablehook = _interrupt_again
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()


def end_if_interrupted() -> None:
    """End this process with `STATUS` where Ctrl-C has been pressed; else return.

    Python's own end waits for threads, and a compilation that it interrupts crashes.
    """
    if _was_interrupted:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(STATUS)


def _interrupt_once(_number: int, _frame: object) -> None:
    _was_interrupted.append(True)
    signal.signal(signal.SIGINT, _do_nothing)
    raise KeyboardInterrupt


def _interrupt_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Raise an interrupt anew that fell into a finaliser, where Python drops exceptions."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        signal.signal(signal.SIGINT, _interrupt_once)
        # Later: an exception in this function would be dropped too.
        repeat = threading.Timer(
            SAME_SECONDS / 4, os.kill, (os.getpid(), signal.SIGINT)
        )
        repeat.daemon = True
        repeat.start()
    else:
        sys.__unraisablehook__(unraisable)


def _do_nothing(_number: int, _frame: object) -> None:
    """Leave the interrupt to `_watch`."""


def _watch(reader: int) -> None:
    first = None
    while numbers := os.read(reader, 64):
        now = time.monotonic()
        if signal.SIGINT not in numbers:
            continue
        first = now if first is None else first
        if now - first > SAME_SECONDS:
            sys.stderr.write(MESSAGE)
            sys.stderr.flush()
            os._exit(STATUS)
