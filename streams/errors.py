"""The project's errors.

FinAgentError
├── ConfigError (ValueError)            a setting, parameter or definition is wrong
│   └── TopologyError                   topics of one key family differ in partitions
├── DataError                           market data is missing or wrong
│   ├── UnknownSymbol (LookupError)     no provider has the symbol
│   │   └── UnknownInstrument           it is not on the topic `instruments` yet
│   ├── MissingData (LookupError)       the range or history asked for is not there
│   └── InvalidData (ValueError)        a row is NaN, negative, unsorted or duplicated
├── DecodeError (ValueError)            bytes are not a known message
│   └── UnknownSchema                   the writer's schema is not known
├── BrokerError                         Kafka did not do what was asked
│   ├── Fenced                          another owner has taken the task over
│   └── UnknownTopic (LookupError)      the topic does not exist
├── StoreError                          Redis did not do what was asked
│   └── StoreConflict                   a value is not what the writer goes by
├── HandlerError                        a handler raised; carries the record's place
├── WorkflowError                       a workflow is impossible or failed
│   ├── UnknownPool (LookupError)       no such pool, or it is disabled
│   ├── UnknownAction (LookupError)     the pool has no such action
│   ├── UnknownWorkflow (LookupError)   no such workflow or run
│   ├── UnknownAccount (LookupError)    no run ever used the account
│   ├── PoolUnavailable                 a pool that is an MCP server does not answer
│   └── ToolFailed                      a tool of such a pool said no
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


class UnknownSchema(DecodeError):
    """The writer's schema is not known."""


class BrokerError(FinAgentError):
    """Kafka did not do what was asked."""

    retryable = True


class Fenced(BrokerError):
    """Another owner has taken the task over."""


class UnknownTopic(BrokerError, LookupError):
    """The topic does not exist."""


class StoreError(FinAgentError):
    """Redis did not do what was asked."""


class StoreConflict(StoreError):
    """A value is not what the writer goes by."""


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


class ServiceError(FinAgentError):
    """A local service could not be started."""
