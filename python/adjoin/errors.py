# SPDX-License-Identifier: BSD-3-Clause
"""The exceptions of adjoin."""

from __future__ import annotations

from typing import Any

__all__ = ["CallDisagreement", "CommunicationError", "Error", "InvalidArgument", "OperatorFailure", "RankFailure"]


class Error(RuntimeError):
    """Base of every exception that adjoin raises on purpose."""


class InvalidArgument(Error, ValueError, TypeError):
    """An argument has the wrong name, type, value, shape, dtype, device or count; the message says which, what was expected
    and what came."""


class CommunicationError(Error):
    """The message-passing layer reported an error, or a rank was lost or did not come in time."""


class CallDisagreement(Error):
    """The ranks made calls that do not belong together, or one of them could not begin its call or has left.

    ``entries`` has a dictionary for each rank: ``call``, the name of the call that it was in, ``collective``, what it was
    about to do there, ``fingerprint``, of arguments that must be equal (0 when they are not compared), ``refusal``, why it
    could not take part, and ``left``, whether it makes no more calls. Unless one has left, the next call works.
    """

    entries: list[dict[str, Any]] = []


class OperatorFailure(Error):
    """An operator of a stack in one process failed; ``index`` is its place in the stack."""

    index: int = -1


class RankFailure(Error):
    """A call failed on another rank.

    ``rank`` is the lowest rank that failed, ``operator_index`` the failing operator's place in the stack, or -1 when no
    operator is to blame, and ``reason`` the original message. The rank that failed raises what its operator raised, with a
    note (``__notes__``) that says where.
    """

    rank: int = -1
    operator_index: int = -1
    reason: str = ""
