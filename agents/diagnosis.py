"""What is likely behind a case of failed runs, and what is done about it: a table of rules, read from top to bottom.

Pure: the symptoms come from ``agents.symptoms``, what is done is in ``agents.doctor``. The first rule that fits wins,
so a rule stands above those that are less sure; the last one says that nothing is known. How often the table is right
is measured: ``make bench-doctor``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

HOUR = 3600.0
RAISED = re.compile(r"^([A-Za-z_][\w.]*)(?::|$)", re.M)
CONDITION = re.compile(r"^psycopg2\.errors\.(\w+)", re.M)
SERVER_ERROR = re.compile(r"^[\w.]*HTTPError: (?:HTTP Error )?(?:5\d\d|429)\b", re.M)
HOW_IT_DIED = re.compile(r"killed by signal (\d+)|ended with status (\d+)")


class Likely(StrEnum):
    DEPENDENCY = "DEPENDENCY"
    PAYLOAD = "PAYLOAD"
    SCHEMA = "SCHEMA"
    RESOURCE = "RESOURCE"
    BUG = "BUG"
    UNKNOWN = "UNKNOWN"


class Remedy(StrEnum):
    """What can be done about a case. All but the last three begin with a trial: one run is replayed alone."""

    WAIT_AND_RETRY = "WAIT_AND_RETRY"
    RETRY_ONCE = "RETRY_ONCE"
    AFTER_MIGRATION = "AFTER_MIGRATION"
    AFTER_NEW_VERSION = "AFTER_NEW_VERSION"
    THROTTLE = "THROTTLE"
    ASK = "ASK"
    PERSON = "PERSON"  # somebody replays: never chosen by a rule


@dataclass(frozen=True, slots=True)
class Plan:
    """How a remedy goes: so many trials at most; seconds before the first, and how much longer each wait gets."""

    says: str
    trials: int
    wait: float = 0.0
    growth: float = 1.0

    def wait_before(self, trial: int) -> float:
        """Seconds before the ``trial``-th trial (1 is the first)."""
        return self.wait * self.growth ** (trial - 1)


PLANS: Mapping[Remedy, Plan] = MappingProxyType(
    {
        Remedy.WAIT_AND_RETRY: Plan("Wait, replay one run as a trial, then the rest.", trials=5, wait=30, growth=4),
        Remedy.RETRY_ONCE: Plan("Try one run again later, once.", trials=1, wait=600),
        Remedy.AFTER_MIGRATION: Plan(
            "When no migration waits to be applied, replay one run as a trial, then the rest.",
            trials=4, wait=30, growth=4,
        ),
        Remedy.AFTER_NEW_VERSION: Plan(
            "When another version of the code runs, replay one run as a trial, then the rest.", trials=3, wait=60
        ),
        Remedy.THROTTLE: Plan(
            "The client may send 10 readings a second for an hour; what failed stays set aside until somebody replays "
            "or discards it.",
            trials=0,
        ),
        Remedy.ASK: Plan("It stays set aside until somebody replays or discards it.", trials=0),
        Remedy.PERSON: Plan("Somebody replays.", trials=0),
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Symptoms:
    """What is known of a case when it is diagnosed.

    ``text``: the newest run's traceback, or how its process ended. ``failures``: how often a run was set aside for it;
    ``spared``: how often the stage was done lately, by this version. ``sites``: whose readings failed.
    ``split``: quarantine told it apart from others that went on. ``since_deployment``: seconds from the deployment of
    the version that failed to the first failure, None where no other version ran before. ``unknown_column``: the error
    speaks of a column that the code does not know. ``sender``: user id of the only client whose readings failed, None
    where there are more or none is known; ``lately``: how many runs of the case came in the last ten minutes before
    the newest.
    """

    kind: str
    error_class: str
    text: str
    failures: int = 1
    spared: int = 0
    sites: int = 1
    split: bool = False
    since_deployment: float | None = None
    migrations_pending: bool = False
    unknown_column: bool = False
    sender: int | None = None
    lately: int = 0

    @property
    def raised(self) -> frozenset[str]:
        """Names of the exceptions in the traceback, also of those behind the last one."""
        return frozenset(name.rsplit(".", 1)[-1] for name in RAISED.findall(self.text)) | {self.error_class}

    @property
    def condition(self) -> str:
        """Postgres' name for what it answered (one for each SQLSTATE), empty where it did not."""
        found = CONDITION.findall(self.text)
        return found[-1] if found else ""

    @property
    def signal(self) -> int | None:
        """What ended the process of the trial: the signal, as a number; 0 where it left by itself."""
        found = HOW_IT_DIED.search(self.text) if self.error_class == "WorkerDied" else None
        if found is None:
            return None
        return int(found[1]) if found[1] else max(0, int(found[2]) - 128)  # a shell's way to say the same

    @property
    def out_of_memory(self) -> bool:
        """Numpy and Redis have errors of their own for it, whose names end alike."""
        return any(name.endswith("MemoryError") for name in self.raised)

    @property
    def spares_the_rest(self) -> bool:
        return self.spared > self.failures or (self.split and self.spared > 0)

    @property
    def fresh(self) -> bool:
        """It began within an hour of a deployment."""
        return self.since_deployment is not None and self.since_deployment < HOUR


@dataclass(frozen=True, slots=True)
class Rule:
    """``says``: the reason in words, for the history of the case."""

    name: str
    likely: Likely
    remedy: Remedy
    says: str
    fits: Callable[[Symptoms], bool]


SIGKILL = 9
FLOOD = 10
BUSY = frozenset(
    {"LockNotAvailable", "DeadlockDetected", "SerializationFailure", "QueryCanceled", "ObjectInUse",
     "ReadOnlySqlTransaction", "IdleInTransactionSessionTimeout", "TransactionTimeout", "IdleSessionTimeout",
     "AdminShutdown", "CrashShutdown", "CannotConnectNow", "TooManyConnections", "ConnectionFailure",
     "ConnectionException", "SqlclientUnableToEstablishSqlconnection"}
)  # fmt: skip
FULL = frozenset(
    {"DiskFull", "OutOfMemory", "InsufficientResources", "ConfigurationLimitExceeded", "ProgramLimitExceeded",
     "StatementTooComplex"}
)  # fmt: skip
UNDEFINED = frozenset(
    {"UndefinedColumn", "UndefinedTable", "UndefinedFunction", "UndefinedObject", "UndefinedParameter",
     "InvalidSchemaName", "DatatypeMismatch", "AmbiguousColumn", "DuplicateColumn", "DuplicateTable",
     "InvalidColumnReference", "WrongObjectType"}
)  # fmt: skip
UNREACHABLE = frozenset(
    {"ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "ConnectionAbortedError", "BrokenPipeError",
     "TimeoutError", "timeout", "gaierror", "herror", "ConnectTimeout", "ReadTimeout", "ConnectTimeoutError",
     "ReadTimeoutError", "NewConnectionError", "NameResolutionError", "MaxRetryError", "ProtocolError",
     "RemoteDisconnected", "SSLError", "SSLEOFError", "EndpointConnectionError", "BusyLoadingError", "ReadOnlyError",
     "InterfaceError", "OperationalError"}
)  # fmt: skip
MISTAKES = frozenset(
    {"NameError", "UnboundLocalError", "AttributeError", "TypeError", "ImportError", "ModuleNotFoundError",
     "AssertionError", "NotImplementedError", "RecursionError", "SyntaxError", "IndentationError", "FieldError",
     "FieldDoesNotExist", "TemplateDoesNotExist", "TemplateSyntaxError", "IntegrityError", "ProgrammingError",
     "TransactionManagementError", "ImproperlyConfigured"}
)  # fmt: skip
NO_ROOM = ("Cannot allocate memory", "No space left on device", "Too many open files", "Resource temporarily unavail")
GONE = "or lost the database"
SEARCHES = "searches in quarantine began"
TOO_SLOW = "did not end within"
EVERY_TRIAL = "passed every trial"

RULES: tuple[Rule, ...] = (
    Rule(
        "undefined-in-database", Likely.SCHEMA, Remedy.AFTER_MIGRATION,
        "The code asks for a table, column or function that the database does not have.",
        lambda s: s.condition in UNDEFINED,
    ),
    Rule(
        "migrations-wait", Likely.SCHEMA, Remedy.AFTER_MIGRATION,
        "Postgres refuses a statement while migrations wait to be applied.",
        lambda s: s.migrations_pending and bool(s.condition) and s.condition not in BUSY | FULL,
    ),
    Rule(
        "column-unknown-to-code", Likely.SCHEMA, Remedy.AFTER_NEW_VERSION,
        "Postgres speaks of a column that the code does not know: the database is newer than the code.",
        lambda s: s.unknown_column,
    ),
    Rule(
        "no-room", Likely.RESOURCE, Remedy.RETRY_ONCE,
        "Memory, disk or file handles ran out.",
        lambda s: s.out_of_memory or s.condition in FULL or any(text in s.text for text in NO_ROOM),
    ),
    Rule(
        "out-of-time", Likely.RESOURCE, Remedy.RETRY_ONCE,
        "The work did not end within the time a stage may take, even on its own.",
        lambda s: (s.error_class == "WorkerDied" and TOO_SLOW in s.text) or "SoftTimeLimitExceeded" in s.raised,
    ),
    Rule(
        "killed", Likely.RESOURCE, Remedy.RETRY_ONCE,
        "The process was killed from outside (signal 9), as the kernel does when memory runs out.",
        lambda s: s.signal == SIGKILL or (s.error_class == "WorkerDied" and SEARCHES in s.text),
    ),
    Rule(
        "crashed", Likely.BUG, Remedy.AFTER_NEW_VERSION,
        "The process crashed or left by itself: nothing from outside ended it.",
        lambda s: s.signal is not None,
    ),
    Rule(
        "database-busy", Likely.DEPENDENCY, Remedy.WAIT_AND_RETRY,
        "Postgres was busy, locked, read-only or going down.",
        lambda s: s.condition in BUSY,
    ),
    Rule(
        "unreachable", Likely.DEPENDENCY, Remedy.WAIT_AND_RETRY,
        "Something the stage needs could not be reached.",
        lambda s: bool(s.raised & UNREACHABLE) or SERVER_ERROR.search(s.text) is not None,
    ),
    Rule(
        "workers-lost", Likely.DEPENDENCY, Remedy.WAIT_AND_RETRY,
        "Its workers ended without a word, and it passes when it is tried alone: what they needed was gone.",
        lambda s: s.error_class == "WorkerDied" and (GONE in s.text or EVERY_TRIAL in s.text),
    ),
    Rule(
        "not-reproducible", Likely.UNKNOWN, Remedy.WAIT_AND_RETRY,
        "It fails in its lane and passes when it is tried alone.",
        lambda s: EVERY_TRIAL in s.text,
    ),
    Rule(
        "mistake-in-code", Likely.BUG, Remedy.AFTER_NEW_VERSION,
        "An error that readings do not cause: a name, a type or a statement that is wrong.",
        lambda s: s.kind == "BUG" and (s.error_class in MISTAKES or bool(s.condition)),
    ),
    Rule(
        "after-a-deployment", Likely.BUG, Remedy.AFTER_NEW_VERSION,
        "It began within an hour of another version, which has not done this stage once.",
        lambda s: s.fresh and not s.spared,
    ),
    Rule(
        "one-client-floods", Likely.PAYLOAD, Remedy.THROTTLE,
        "Ten or more within ten minutes, all of one client, where what others send passes or the data itself is bad.",
        lambda s: s.sender is not None and s.lately >= FLOOD and (s.kind == "PERMANENT" or s.spares_the_rest),
    ),
    Rule(
        "refused", Likely.PAYLOAD, Remedy.ASK,
        "The readings cannot be decoded, speak of a sensor that is no more, or do not fit the database.",
        lambda s: s.kind == "PERMANENT",
    ),
    Rule(
        "many-sites", Likely.BUG, Remedy.AFTER_NEW_VERSION,
        "Readings of several sites fail in the same place of the code.",
        lambda s: s.sites >= 3,
    ),
    Rule(
        "spares-the-rest", Likely.PAYLOAD, Remedy.ASK,
        "Few fail where most pass: something in these readings is not handled.",
        lambda s: s.spares_the_rest,
    ),
    Rule(
        "fails-everything", Likely.BUG, Remedy.AFTER_NEW_VERSION,
        "Everything that comes to this stage fails.",
        lambda s: not s.spared and s.failures > 1,
    ),
    Rule(
        "unknown", Likely.UNKNOWN, Remedy.ASK,
        "No rule fits.",
        lambda s: True,
    ),
)  # fmt: skip


def diagnose(symptoms: Symptoms) -> Rule:
    """The first rule that fits; the last one fits everything."""
    return next(rule for rule in RULES if rule.fits(symptoms))
