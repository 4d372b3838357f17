"""The project's errors.

FinAgentError
├── ConfigError (ValueError)            a setting, parameter or definition is wrong
│   ├── TopologyError                   topics of one key family differ in partitions
│   └── IncompatibleSchema              what is written cannot be read by every other release
├── DataError                           market data is missing or wrong
│   ├── UnknownSymbol (LookupError)     no provider has the symbol
│   │   └── UnknownInstrument           it is not on the topic `instruments` yet
│   ├── MissingData (LookupError)       the range or history asked for is not there
│   └── InvalidData (ValueError)        a row is NaN, negative, unsorted or duplicated
├── DecodeError (ValueError)            bytes are not a known message
│   ├── UnknownSchema                   the writer's schema is not known
│   ├── InvalidValues                   a field's value is out of its range
│   ├── BadHeaders                      the envelope in the headers is missing or malformed
│   ├── Misplaced                       a message of another topic, key or partition
│   └── Oversized                       larger than any record of the project
├── RecordTooLarge (ValueError)         a record is larger than its topic takes
├── BrokerError                         Kafka did not do what was asked
│   ├── Fenced                          another owner has taken the task over
│   ├── UnknownTopic (LookupError)      the topic does not exist
│   └── RegistryError                   the schema registry does not answer, or fails
├── SecurityError                       Kafka does not let this client in, or do this, or is not to be trusted
├── StoreError                          Redis did not do what was asked
│   └── StoreConflict                   a value is not what the writer goes by
├── UnfitSnapshot                       a snapshot of a task's states is damaged, or not of this log
├── UnreadableState                     a newer release saved a state that has more in it than this one knows
├── HandlerError                        a handler raised; carries the record's place
├── WorkflowError                       a workflow is impossible or failed
│   ├── UnknownPool (LookupError)       no such pool, or it is disabled
│   ├── UnknownAction (LookupError)     the pool has no such action
│   ├── UnknownWorkflow (LookupError)   no such workflow or run
│   ├── UnknownAccount (LookupError)    no run ever used the account
│   ├── PoolUnavailable                 a pool that is an MCP server does not answer
│   ├── ToolFailed                      a tool of such a pool said no
│   └── Diverged                        the numbers of a training are not finite any more
└── ServiceError                        a local service could not be started
"""


class FinAgentError(Exception):
    """Root of all errors that the project raises on purpose."""

    retryable = False
    """Whether trying again may help."""


class ConfigError(FinAgentError, ValueError):
    """A setting, parameter or definition is wrong."""


class TopologyError(ConfigError):
    """Topics of one key family differ in partitions."""


class IncompatibleSchema(ConfigError):
    """A schema and one that the registry has cannot read each other; nothing was written."""


class DataError(FinAgentError):
    """Market data is missing or wrong."""


class UnknownSymbol(DataError, LookupError):
    """No provider has the symbol."""


class UnknownInstrument(UnknownSymbol):
    """The instrument is not on the topic `instruments` yet."""

    retryable = True


class MissingData(DataError, LookupError):
    """The range or history asked for is not there."""


class InvalidData(DataError, ValueError):
    """A row is NaN, negative, unsorted or duplicated."""


class DecodeError(FinAgentError, ValueError):
    """Bytes are not a known message."""

    kind = "malformed"
    """What dead letters of such records are counted under."""


class UnknownSchema(DecodeError):
    """The writer's schema is not known."""

    kind = "unknown_schema"


class InvalidValues(DecodeError):
    """A field's value is out of its range."""

    kind = "invalid"


class BadHeaders(DecodeError):
    """The envelope in a record's headers is missing or malformed."""

    kind = "headers"


class Misplaced(DecodeError):
    """A message stands on another topic, under another key or on another partition than its own."""

    kind = "misplaced"


class Oversized(DecodeError):
    """A record is larger than any of the project."""

    kind = "oversized"


class RecordTooLarge(FinAgentError, ValueError):
    """A record is larger than its topic takes; nothing was sent."""

    def __init__(self, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause
        """Message id of what led to the record; empty where its headers do not say."""


class BrokerError(FinAgentError):
    """Kafka did not do what was asked."""

    retryable = True


class Fenced(BrokerError):
    """Another owner has taken the task over."""


class StoodStill(FinAgentError):
    """This process does not get on, and cannot tell why: it is to be started anew."""


class UnknownTopic(BrokerError, LookupError):
    """The topic does not exist."""


class SecurityError(FinAgentError):
    """Kafka does not let this client in, or do this, or is not to be trusted; trying again does not help."""


class RegistryError(BrokerError):
    """The schema registry does not answer, or fails."""


class StoreError(FinAgentError):
    """Redis did not do what was asked."""


class StoreConflict(StoreError):
    """A value is not what the writer goes by."""


class UnfitSnapshot(FinAgentError):
    """A snapshot of a task's states is damaged, or not of this log."""


class UnreadableState(FinAgentError):
    """A newer release saved a state that has more in it than this one knows; going on would lose that."""


class HandlerError(FinAgentError):
    """A handler raised; the message names the pool and the record's place."""

    def __init__(self, message: str, *, topic: str, poison: tuple[object, ...]) -> None:
        super().__init__(message)
        self.topic = topic
        """Where the record stood."""
        self.poison = poison
        """Names the piece of work that must not be tried again."""


class WorkflowError(FinAgentError):
    """A workflow is impossible or failed."""


class UnknownPool(WorkflowError, LookupError):
    """No such pool, or it is disabled."""


class UnknownAction(WorkflowError, LookupError):
    """The pool has no such action."""


class UnknownWorkflow(WorkflowError, LookupError):
    """No such workflow or run."""


class UnknownAccount(WorkflowError, LookupError):
    """No run ever used the account."""


class PoolUnavailable(WorkflowError):
    """A pool that is an MCP server does not answer."""

    retryable = True


class ToolFailed(WorkflowError):
    """A tool of a pool that is an MCP server said no."""


class Diverged(WorkflowError):
    """The numbers of a training are not finite any more."""


class ServiceError(FinAgentError):
    """A local service could not be started."""
